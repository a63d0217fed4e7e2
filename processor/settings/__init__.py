"""The settings of the service, and the loading and listing of settings that every program uses."""
