"""What a person reads at the end of a run: the HTML report, its figures and the terminal's last words."""
