"""What ``processor`` can do, one module for each topic. What a command needs is imported when it runs."""
