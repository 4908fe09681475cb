package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// Known answers: what an older release wrote is read by this one.
func TestKnownArchive(t *testing.T) {
	i := Info{
		Format: Format, DataFormat: 1, Program: "v1.2.3", Hostname: "mx.local.test", Began: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Mailboxes: true, Messages: 7, Octets: 99, Paths: map[string]string{"tls.certificate": "config/tls.certificate"},
	}
	const info = `{
  "format": 1,
  "data_format": 1,
  "program": "v1.2.3",
  "hostname": "mx.local.test",
  "began": "2026-01-02T03:04:05Z",
  "mailboxes": true,
  "messages": 7,
  "octets": 99,
  "paths": {
    "tls.certificate": "config/tls.certificate"
  }
}
`
	var back Info
	if err := json.Unmarshal([]byte(info), &back); err != nil || !reflect.DeepEqual(back, i) {
		t.Errorf("the first member reads as %+v, %v", back, err)
	}
	sum := sha256.New()
	sum.Write([]byte("x"))
	if got := line(sum, "data/x"); got != "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  data/x\n" {
		t.Errorf("a line of the manifest is %q", got)
	}

	path := filepath.Join(t.TempDir(), "b")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{w.AddInfo(i), w.AddBytes("data/x", []byte("x"), i.Began)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	r, err := openArchive(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	var members []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg || h.Mode != 0o600 {
			t.Errorf("%s is %c, of mode %o", h.Name, h.Typeflag, h.Mode)
		}
		members = append(members, h.Name, string(b))
	}
	if want := []string{
		"backup.json", info, "data/x", "x", "manifest.sha256",
		"c7e085863c6c33b43877edeeda8d3db4e0af8d90380d1e424831f1dccecdf1da  backup.json\n2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  data/x\n",
	}; !reflect.DeepEqual(members, want) {
		t.Errorf("the archive has %q", members)
	}
	if got, _, err := Verify(context.Background(), path, t.TempDir(), nil); err != nil || !reflect.DeepEqual(got, i) {
		t.Errorf("it verifies as %+v, %v", got, err)
	}
}
