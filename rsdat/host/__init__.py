"""Machines where commands run: this one, or one over OpenSSH."""
