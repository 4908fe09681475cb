package crowd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"sallyport/test/load/rig"
)

// binaryVar tells the test within the namespace where the server's binary is.
const binaryVar = "SALLYPORT_CROWD_BINARY"

// TestMain runs the tests in a network namespace of their own: there, port 25 of
// every loopback address is free, and nothing can leave.
func TestMain(m *testing.M) {
	if os.Getenv(binaryVar) != "" {
		os.Exit(m.Run())
	}
	os.Exit(outside())
}

func outside() int {
	if os.Geteuid() != 0 {
		fmt.Println("test/crowd needs root, for a network namespace: nothing was tested")
		return 0
	}
	dir, err := os.MkdirTemp("", "crowd")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary, err := rig.Build(context.Background(), dir)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	cmd := exec.Command("unshare", append([]string{"--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh", os.Args[0]}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), binaryVar+"="+binary)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Println("test/crowd:", err)
		return 1
	}
	return 0
}
