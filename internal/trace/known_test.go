package trace

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport/internal/mail"
)

// Known answers: a log that an older release wrote goes on under the same keys, and its
// checkpoints verify.
func TestKnownKeys(t *testing.T) {
	id, err := mail.IDFromBytes([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	if err != nil {
		t.Fatal(err)
	}
	for want, got := range map[string][]byte{
		"742f73": []byte(stateKey), "742f63": []byte(checkpointKey), "742f680000000000000102": chunkKey(258),
		"742f710102030405060708090a0b0c0d0e0f": bundleKey(id), "0000000000000102": seqValue(258),
	} {
		if hex.EncodeToString(got) != want {
			t.Errorf("the key %x, want %s", got, want)
		}
	}
	if raw, err := json.Marshal(progress{Next: 3, Oldest: 2, Bodies: 1}); err != nil || string(raw) != `{"next":3,"oldest":2,"bodies":1}` {
		t.Errorf("progress is stored as %s, %v", raw, err)
	}
}

// The tree of a hundred records, and its checkpoint under the key of 32 octets of 0x01.
func TestKnownTree(t *testing.T) {
	var tr tree
	var chunks []string
	for i := range 100 {
		err := tr.add(tlog.RecordHash(fmt.Appendf(nil, `{"kind":"%d"}`, i)), func(n int64, hashes []tlog.Hash) {
			chunks = append(chunks, fmt.Sprintf("%d:%x", n, hashes[len(hashes)-1][:4]))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(chunks, " "); got != "0:bee0354f 1:415e9643 2:1dfc4da1 3:1b6a65ec 4:8aa046cc 5:d18a6de5" {
		t.Errorf("chunks %s", got)
	}
	root, err := tr.root()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey("PRIVATE+KEY+mx.local.test/trace+0daa8e7e+AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB")
	if err != nil {
		t.Fatal(err)
	}
	const signed = "mx.local.test/trace\n100\naAyKdicBJ6XtPwTC/cIRqOeRA6nE1G0aT7VamduPT1A=\n\n— mx.local.test/trace DaqOfg6DuPkqOho44UyJyYoNIj1wNC7OuXdo+xseiBM5SqCUN35pJxQUOeyi2zlw4ciZIlNHa2OCRDb+k7c0m+zPwwo=\n"
	got, err := key.Sign(Checkpoint{Origin: "mx.local.test/trace", Size: 100, Root: root})
	if err != nil || string(got) != signed {
		t.Errorf("signed as %q, %v", got, err)
	}
	if c, err := key.Open([]byte(signed)); err != nil || c.Size != 100 || c.Root != root {
		t.Errorf("it reads as %+v, %v", c, err)
	}
}
