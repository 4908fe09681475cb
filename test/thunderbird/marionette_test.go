package thunderbird

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// marionette is a connection to the remote control of a program of Mozilla's. A message is its length, a
// colon, and JSON: [0, id, command, parameters] there, [1, id, error, result] back.
type marionette struct {
	conn net.Conn
	in   *bufio.Reader
	id   int
	// prelude goes before every script.
	prelude string
}

// dial waits until the program listens, and begins a session in which scripts are the program's own.
func dial(addr, prelude string, by time.Time) (*marionette, error) {
	m := &marionette{prelude: prelude}
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			m.conn, m.in = conn, bufio.NewReader(conn)
			break
		}
		if time.Now().After(by) {
			return nil, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	if _, err := m.read(); err != nil { // the greeting
		return nil, err
	}
	for _, c := range []struct {
		name       string
		parameters map[string]any
	}{
		{"WebDriver:NewSession", map[string]any{"capabilities": map[string]any{}}},
		{"Marionette:SetContext", map[string]any{"value": "chrome"}},
		{"WebDriver:SetTimeouts", map[string]any{"script": 60000}},
	} {
		if _, err := m.command(c.name, c.parameters); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// script runs what may await, and returns what it returns.
func (m *marionette) script(text string) (json.RawMessage, error) {
	const frame = "const done = arguments[arguments.length - 1]; (async () => {%s\n%s\n})().then(v => done({ value: v === undefined ? null : v }), e => done({ error: String(e) }));"
	got, err := m.command("WebDriver:ExecuteAsyncScript", map[string]any{"script": fmt.Sprintf(frame, m.prelude, text), "args": []any{}, "newSandbox": true, "sandbox": "system"})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Value struct {
			Value json.RawMessage
			Error string
		}
	}
	if err := json.Unmarshal(got, &answer); err != nil {
		return nil, err
	}
	if answer.Value.Error != "" {
		return nil, errors.New(answer.Value.Error)
	}
	return answer.Value.Value, nil
}

func (m *marionette) command(name string, parameters map[string]any) (json.RawMessage, error) {
	m.id++
	text, err := json.Marshal([]any{0, m.id, name, parameters})
	if err != nil {
		return nil, err
	}
	if err := m.conn.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(text), text); err != nil {
		return nil, err
	}
	got, err := m.read()
	if err != nil {
		return nil, err
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(got, &parts); err != nil || len(parts) != 4 {
		return nil, fmt.Errorf("%s: %v: %s", name, err, got)
	}
	if string(parts[2]) != "null" {
		return nil, fmt.Errorf("%s: %s", name, parts[2])
	}
	return parts[3], nil
}

func (m *marionette) read() ([]byte, error) {
	size, err := m.in.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(m.in, b)
	return b, err
}
