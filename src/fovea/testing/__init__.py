"""The public exams: what every entry of a registry must satisfy, for our own entries and for strangers'."""
