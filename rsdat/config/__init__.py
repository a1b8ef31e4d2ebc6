"""Sites: what an admin writes, checked."""
