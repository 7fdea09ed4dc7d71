"""Logs in as USER to the server on PORT with any key of the agent, and runs a command."""

import sys

import paramiko

user, port = sys.argv[1:]
client = paramiko.SSHClient()
client.load_system_host_keys()
client.connect("127.0.0.1", int(port), user, look_for_keys=False)
_, stdout, _ = client.exec_command("echo logged in")
print(stdout.read().decode())
client.close()
