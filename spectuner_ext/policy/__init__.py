"""Networks that propose LTE parameters for an observed spectrum, and how they are trained."""
