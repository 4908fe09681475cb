package sasl_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/door/sasl"
)

// script is a mechanism that has so many challenges, and what was said to it.
type script struct {
	challenges []string // the last one is sent beside done, if final is set
	final      bool
	fails      error // instead of being done
	heard      []string
	cancelled  int
}

func (s *script) Next(_ context.Context, response []byte) ([]byte, bool, error) {
	if response == nil {
		s.heard = append(s.heard, "nothing")
	} else {
		s.heard = append(s.heard, string(response))
	}
	n := len(s.heard) - 1
	switch {
	case n < len(s.challenges)-1 || n < len(s.challenges) && !s.final:
		return []byte(s.challenges[n]), false, nil
	case s.fails != nil:
		return nil, false, s.fails
	case s.final:
		return []byte(s.challenges[n]), true, nil
	}
	return nil, true, nil
}

func (s *script) Cancel(context.Context) { s.cancelled++ }

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// An exchange ends with the mechanism, with the client, with the connection or with its bound; the
// mechanism is told of each end but its own, once.
func TestRun(t *testing.T) {
	wrong := errors.New("wrong password")
	for name, row := range map[string]struct {
		m         script
		mechanism string
		initial   []byte
		lines     []string // what the client says
		rounds    int
		written   []string
		heard     []string
		want      error
		text      string
		cancelled int
	}{
		"with the command":          {m: script{}, initial: []byte("x"), rounds: 1, heard: []string{"x"}},
		"refused at once":           {m: script{fails: wrong}, initial: []byte("x"), rounds: 1, heard: []string{"x"}, want: wrong},
		"one challenge":             {m: script{challenges: []string{""}}, lines: []string{b64("x")}, rounds: 2, written: []string{"+ \r\n"}, heard: []string{"nothing", "x"}},
		"an empty response":         {m: script{challenges: []string{"c"}}, lines: []string{"="}, rounds: 2, written: []string{"+ Yw==\r\n"}, heard: []string{"nothing", ""}},
		"refused after one":         {m: script{challenges: []string{"c"}, fails: wrong}, lines: []string{b64("x")}, rounds: 2, written: []string{"+ Yw==\r\n"}, heard: []string{"nothing", "x"}, want: wrong},
		"a last word":               {m: script{challenges: []string{"c", "v"}, final: true}, lines: []string{b64("x"), ""}, rounds: 2, written: []string{"+ Yw==\r\n", "+ dg==\r\n"}, heard: []string{"nothing", "x"}},
		"a last word, and nonsense": {m: script{challenges: []string{"v"}, final: true}, lines: []string{"?"}, rounds: 1, written: []string{"+ dg==\r\n"}, heard: []string{"nothing"}},
		"gone at the last word":     {m: script{challenges: []string{"v"}, final: true}, rounds: 1, written: []string{"+ dg==\r\n"}, heard: []string{"nothing"}, want: sasl.ErrBroken, cancelled: 1},
		"cancelled":                 {m: script{challenges: []string{"c"}}, mechanism: "PLAIN", lines: []string{"*"}, rounds: 2, written: []string{"+ Yw==\r\n"}, heard: []string{"nothing"}, want: sasl.ErrGaveUp, text: "cancelled", cancelled: 1},
		"cannot bind":               {m: script{challenges: []string{"c"}}, mechanism: "SCRAM-SHA-256-PLUS", lines: []string{"*"}, rounds: 2, written: []string{"+ Yw==\r\n"}, heard: []string{"nothing"}, want: sasl.ErrGaveUp, text: "cancelled: a client that cannot bind to TLS must use another mechanism", cancelled: 1},
		"no base64":                 {m: script{challenges: []string{"c"}}, mechanism: "SCRAM-SHA-256-PLUS", lines: []string{"?"}, rounds: 2, written: []string{"+ Yw==\r\n"}, heard: []string{"nothing"}, want: sasl.ErrGaveUp, text: "the response is no base64", cancelled: 1},
		"gone":                      {m: script{challenges: []string{"c"}}, rounds: 2, written: []string{"+ Yw==\r\n"}, heard: []string{"nothing"}, want: sasl.ErrBroken, cancelled: 1},
		"too long":                  {m: script{challenges: []string{"a", "b", "c"}}, lines: []string{"", "", ""}, rounds: 2, written: []string{"+ YQ==\r\n", "+ Yg==\r\n"}, heard: []string{"nothing", ""}, want: sasl.ErrTooLong, text: "the exchange takes too long", cancelled: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var written []string
			err := sasl.Run(t.Context(), sasl.Line{
				Write: func(b []byte) { written = append(written, string(b)) },
				Read: func() ([]byte, error) {
					if len(row.lines) == 0 {
						return nil, io.ErrUnexpectedEOF
					}
					line := row.lines[0]
					row.lines = row.lines[1:]
					return []byte(line), nil
				}, Rounds: row.rounds,
			}, &row.m, row.mechanism, row.initial)
			if !errors.Is(err, row.want) || row.want == nil && err != nil || row.text != "" && err.Error() != row.text {
				t.Errorf("ended with %v, want %v %q", err, row.want, row.text)
			}
			if row.want == sasl.ErrBroken && (!errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, sasl.ErrGaveUp)) {
				t.Errorf("why the connection ended is not told: %v", err)
			}
			if !slices.Equal(written, row.written) || !slices.Equal(row.m.heard, row.heard) || row.m.cancelled != row.cancelled {
				t.Errorf("written %q, heard %q, cancelled %d times", strings.Join(written, ""), row.m.heard, row.m.cancelled)
			}
		})
	}
}
