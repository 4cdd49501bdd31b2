"""For whom templates are tried."""

from labenv.student import Student

# The longest possible id, with every kind of character that an id may have.
STUDENT = Student("a23456789012345678901234567890-b", 200, "anna", "abcd2345")
