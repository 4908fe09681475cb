package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// harakaModules is where npm put it below the folder of the peers.
const harakaModules = "haraka/node_modules"

// startHaraka starts Haraka with one process, as by default, or with so many nodes.
func startHaraka(ctx context.Context, p place) (*instance, error) {
	doors, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, err
	}
	modules := filepath.Join(p.o.peers, harakaModules)
	if err := harakaFolder(p, modules, doors[0]); err != nil {
		return nil, err
	}
	c, err := startApart(haraka, p.dir, apart{Argv: []string{node, filepath.Join(modules, "Haraka/bin/haraka"), "-c", p.dir}})
	if err != nil {
		return nil, err
	}
	i := &instance{
		name: haraka, roots: []int{c.pid()}, mx: doors[0], stop: c.stop, enlist: trusted,
		queued: func(context.Context) (int, error) {
			return counted(filepath.Join(p.dir, "queue"),
				func(name string) bool { return !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "__tmp__") })
		},
	}
	return i, c.serves(ctx, i.mx)
}

// harakaFolder writes its configuration: as it comes, with a plugin of ours that takes mail for
// our two recipients and names the sink, which Haraka asks a plugin for.
func harakaFolder(p place, modules, mx string) error {
	config := filepath.Join(p.dir, "config")
	if _, err := os.Stat(config); err == nil {
		err = os.RemoveAll(config) // of an instance that was stopped
		if err != nil {
			return err
		}
	}
	if err := os.CopyFS(config, os.DirFS(filepath.Join(modules, "Haraka/config"))); err != nil {
		return err
	}
	host, port := "127.0.0.1", portOf(p.sink)
	files := map[string]string{
		"config/me":           "mx.local.test\n",
		"config/smtp.ini":     "listen=" + mx + "\n",
		"config/outbound.ini": fmt.Sprintf("disabled=%t\nlocal_mx_ok=true\nenable_tls=false\n", p.queueOnly),
		"config/plugins":      "bench\n",
		"plugins/bench.js": fmt.Sprintf(`exports.register = function () {
	this.register_hook('rcpt', 'take');
	this.register_hook('get_mx', 'sink');
}
exports.take = function (next, connection, params) {
	const to = params[0].address().toLowerCase();
	if (to !== %q && to !== %q) return next();
	connection.relaying = true;
	next(OK);
}
exports.sink = function (next, hmail, domain) { next(OK, [{ priority: 0, exchange: %q, port: %s }]); }
`, localRecipient, remoteRecipient, host, port),
		"package.json": `{"name":"bench","version":"1.0.0"}`,
	}
	for name, text := range files {
		path := filepath.Join(p.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(p.dir, "queue"), 0o755)
}

// npmVersion reads the version of an unpacked package.
func npmVersion(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return "", err
	}
	var about struct{ Version string }
	err = json.Unmarshal(b, &about)
	return about.Version, err
}
