"""Run records, figures and tables; no computing."""
