"""Figures as data: a frozen record each, made of `Findings` by pure functions of numpy. Nothing is drawn here."""
