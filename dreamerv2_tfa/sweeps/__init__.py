"""Many runs as one list: tasks x variations x seeds."""
