// Logs in as USER to the server on PORT with any key of the agent, and runs a command.
package main

import (
	"fmt"
	"log"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

func main() {
	user, port := os.Args[1], os.Args[2]
	socket, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
	check(err)
	known, err := knownhosts.New(os.Getenv("HOME") + "/.ssh/known_hosts")
	check(err)
	client, err := ssh.Dial("tcp", net.JoinHostPort("127.0.0.1", port), &ssh.ClientConfig{
		User:              user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeysCallback(agent.NewClient(socket).Signers)},
		HostKeyCallback:   known,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	check(err)
	session, err := client.NewSession()
	check(err)
	output, err := session.Output("echo logged in")
	check(err)
	fmt.Printf("%s", output)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
