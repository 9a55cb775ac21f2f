"""XML as its own text: the tree against the standard library's, places in the source, edits, refusals."""

from xml.etree import ElementTree

import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.xclass.xml_document import parse_xml
from spectuner_ext.xclass.xml_edit import with_child, with_text, without_element

SAMPLE = b"""\
<?xml version="1.0" encoding="UTF-8"?>
<!-- first -->
<a one="1" two='2 &amp; "3"'>
  <b/><b />
  <c></c><!-- inside --><d>x &lt; <![CDATA[y < z]]> &#65;<e>deep</e> tail</d >
  <?target data?>
  <f>
    1.5
  </f>
</a>
<!-- last -->
"""

SAMPLES = {
    "sample": SAMPLE,
    "windows": SAMPLE.replace(b"\n", b"\r\n"),
    "no line end at the end": SAMPLE.rstrip(b"\n"),
    "no declaration": SAMPLE.split(b"\n", 1)[1],
    "one line": b"<a><b>1</b><c/></a>",
    "root alone": b"<a/>",
    "latin-1": '<?xml version="1.0" encoding="ISO-8859-1"?><a><b>ä</b></a>'.encode("latin-1"),
    "latin-1, not declared": "<a><b>ä</b></a>".encode("latin-1"),
    "utf-8": "<a><b>äµ→</b><ä>1</ä></a>".encode(),
    "ascii": b"<?xml version='1.0' encoding='us-ascii'?><a>1</a>",
    "byte-order mark": b"\xef\xbb\xbf" + SAMPLE,
    "namespaces": b'<p:a xmlns:p="urn:x"><p:b q:c="1" xmlns:q="urn:y"/></p:a>',
    "sign in an attribute": b'<a b="1 &gt; 0 /"> <c d="/"></c></a>',
    "comment that looks like a tag": b"<a><!-- <b>1</b> -- ></a>".replace(b"-- >", b"-->"),
}


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES)
def test_untouched_file_keeps_its_bytes(data):
    assert parse_xml(data, "infile", "a.xml").to_bytes() == data


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES)
def test_tree_is_that_of_the_standard_library(data):
    document = parse_xml(data, "infile", "a.xml")
    if document.encoding == "latin-1" and b"encoding" not in data:
        data = data.decode("latin-1").encode()
    theirs = list(ElementTree.fromstring(data).iter())
    ours = list(document.root.walk())
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.tag.split(":")[-1] == other.tag.split("}")[-1]
        assert len(mine.children) == len(other)
        assert mine.text == (other.text or "") + "".join(child.tail or "" for child in other)


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES)
def test_places_are_those_of_the_tags(data):
    document = parse_xml(data, "infile", "a.xml")
    for element in document.root.walk():
        tag = element.tag.encode()
        whole = document.source[element.start : element.stop]
        assert whole.startswith(b"<" + tag)
        assert whole.endswith(b"/>") or whole.rstrip(b" >").endswith(b"</" + tag)
        again = parse_xml(
            whole.replace(b"p:", b"").replace(b"q:", b"").decode(), "infile", "a.xml"
        ).root  # prefixes are declared further out
        assert (again.text, len(again.children)) == (element.text, len(element.children))
        assert document.source[: element.start].count(b"\n") + 1 == element.line


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        (b"<a>1</a>", "2", b"<a>2</a>"),
        (b"<a> 1\n</a>", "2", b"<a> 2\n</a>"),
        (b"<a></a>", "2", b"<a>2</a>"),
        (b"<a/>", "2", b"<a>2</a>"),
        (b"<a b='1' />", "2", b"<a b='1'>2</a>"),
        (b"<a>  </a>", "2", b"<a>2</a>"),
        (b"<a><!-- c --> 1 </a>", "2", b"<a><!-- c --> 2 </a>"),
        (b"<a><!-- c --></a>", "2", b"<a>2<!-- c --></a>"),
        (b"<a>1</a>", "x < y & z", b"<a>x &lt; y &amp; z</a>"),
        (b"<a>x &amp; y</a>", "z", b"<a>z</a>"),
        (b"<a><![CDATA[1]]></a>", "2", b"<a><![CDATA[2]]></a>"),
        (b"<a>1</a>", "", b"<a></a>"),
        ("<a>ä1→</a>".encode(), "ö", "<a>ö</a>".encode()),
    ],
)
def test_text_is_replaced_in_its_place(before, text, after):
    document = parse_xml(before, "infile", "a.xml")
    changed = with_text(document, document.root, text)
    assert changed.to_bytes() == after
    assert changed.root.text.strip() == text


def test_blanks_count_where_they_must():
    document = parse_xml(b"<a>,</a>", "infile", "a.xml")
    assert with_text(document, document.root, " ", exact=True).to_bytes() == b"<a> </a>"
    document = parse_xml(b"<a> </a>", "infile", "a.xml")
    assert with_text(document, document.root, "\t", exact=True).to_bytes() == b"<a>\t</a>"
    with pytest.raises(InputError, match=r"^value: ' '"):
        with_text(document, document.root, " ")


def test_letters_outside_of_the_encoding_become_references():
    document = parse_xml("<?xml version='1.0' encoding='latin-1'?><a>1</a>".encode("latin-1"), "infile", "a")
    changed = with_text(document, document.root, "ä→")
    assert changed.to_bytes() == b"<?xml version='1.0' encoding='latin-1'?><a>\xe4&#8594;</a>"


@pytest.mark.parametrize(
    ("data", "text", "message"),
    [
        (b"<a><b/></a>", "1", "line 1: <a> holds other elements"),
        (b"<a>1<!-- c -->2</a>", "1", "line 1: the text of <a> is interrupted"),
        (b"<a><![CDATA[1]]></a>", "<", "CDATA"),
        (b"<a>1</a>", "\x07", r"^value: .*XML cannot"),
        (b"<a>1</a>", "\ud800", r"^value: .*XML cannot"),
    ],
)
def test_edits_that_are_not_clear_are_refused(data, text, message):
    document = parse_xml(data, "infile", "a.xml")
    with pytest.raises(InputError, match=message):
        with_text(document, document.root, text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"<a>\n  <b/>\n</a>", b"<a>\n  <b/>\n  <c>1</c>\n</a>"),
        (b"<a>\r\n\t<b/>\r\n</a>", b"<a>\r\n\t<b/>\r\n\t<c>1</c>\r\n</a>"),
        (b"<a>\n  <b/> <!-- of b -->\n</a>", b"<a>\n  <b/> <!-- of b -->\n  <c>1</c>\n</a>"),
        (b"<a>\n</a>", b"<a>\n    <c>1</c>\n</a>"),
        (b"<a/>", b"<a>\n    <c>1</c>\n</a>"),
        (b"<a><b/></a>", b"<a><b/>\n<c>1</c></a>"),
    ],
)
def test_element_is_added_in_the_style_of_the_others(before, after):
    document = parse_xml(before, "infile", "a.xml")
    assert with_child(document, document.root, ["<c>1</c>"]).to_bytes() == after


def test_element_is_taken_away_with_its_line():
    document = parse_xml(b"<a>\n  <b/>\n  <c>1</c>\n</a>", "infile", "a.xml")
    assert without_element(document, document.root.children[1]).to_bytes() == b"<a>\n  <b/>\n</a>"
    document = parse_xml(b"<a>\r\n  <b/> <c>1</c>\r\n</a>", "infile", "a.xml")
    assert without_element(document, document.root.children[1]).to_bytes() == b"<a>\r\n  <b/>\r\n</a>"


LAUGHS = (
    b'<?xml version="1.0"?>\n<!DOCTYPE lolz [\n<!ENTITY lol "lol">\n'
    + b"".join(
        b'<!ENTITY lol%d "%s">\n' % (i, b"&lol%d;" % (i - 1) * 10 if i > 1 else b"&lol;" * 10)
        for i in range(1, 10)
    )
    + b"]>\n<lolz>&lol9;</lolz>"
)

REFUSED = {
    "empty": (b"", "line 1: no well-formed XML"),
    "text": (b"hello", "line 1: no well-formed XML"),
    "not closed": (b"<a>\n<b></a>", r"line 2: no well-formed XML \(mismatched tag\)"),
    "cut off": (SAMPLE[:-30], "no well-formed XML"),
    "two roots": (b"<a/>\n<b/>", "line 2: no well-formed XML"),
    "billion laughs": (LAUGHS, "line [234]: a document type"),
    "external entity": (b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>', "document type"),
    "document type alone": (b"<!DOCTYPE a><a/>", "document type"),
    "unknown entity": (b"<a>&nbsp;</a>", "undefined entity"),
    "utf-16": ("<a/>".encode("utf-16"), "line 1: a zero byte or the mark of UTF-16"),
    "other encoding": (b"<?xml version='1.0' encoding='EBCDIC-CP-US'?><a/>", "the encoding EBCDIC-CP-US"),
    "not what it declares": (
        b"<?xml version='1.0' encoding='utf-8'?>\n<a>\xe4</a>",
        "line 2: a byte that is not utf-8",
    ),
    "deep": (b"<a>" * 10_000 + b"</a>" * 10_000, "more than 50 elements inside each other"),
    "control character": (b"<a>\x01</a>", "no well-formed XML"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_could_harm_is_refused(data, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_xml(data, "infile", "a.xml")
    assert str(caught.value).startswith("infile: a.xml, line ")


def test_too_many_elements_are_refused():
    with pytest.raises(InputError, match=r"more than 200000 elements"):
        parse_xml(b"<a>" + b"<b/>" * 200_001 + b"</a>", "infile", "a.xml")
    with pytest.raises(InputError, match=r"more than 8388608 bytes"):
        parse_xml(b"<a>" + b" " * 9_000_000 + b"</a>", "infile", "a.xml")
