"""Parameters to spectrum under LTE, with the analytic Jacobian."""
