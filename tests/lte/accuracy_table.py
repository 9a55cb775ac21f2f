"""Print the table of docs/accuracy.md: ``python tests/lte/accuracy_table.py``."""

from conftest import DEPTHS, FREQUENCIES, WIDTHS, measure_channel_average


def main() -> None:
    measured = measure_channel_average()
    print("| GHz | FWHM | " + " | ".join(f"{tau:.0e}" for tau in DEPTHS) + " | worst | worst flux |")
    print("| --- " * (len(DEPTHS) + 4) + "|")
    for ghz in FREQUENCIES:
        for fwhm in WIDTHS:
            errors, fluxes = zip(*(measured[ghz, fwhm, tau] for tau in DEPTHS), strict=True)
            cells = [f"{ghz:g}", f"{fwhm:g}", *(f"{1e6 * e:.1f}" for e in errors)]
            print("| " + " | ".join([*cells, f"{1e6 * max(errors):.1f}", f"{1e6 * max(fluxes):.1f}"]) + " |")


if __name__ == "__main__":
    main()
