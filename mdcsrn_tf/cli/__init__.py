"""The command lines: flags -> configuration -> one library call."""
