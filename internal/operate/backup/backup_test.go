package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sample writes a backup with a few files and returns its path and summary.
func sample(t testing.TB) (string, Summary) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample.tar.zst")
	w, err := Create(path)
	must(t, err)
	must(t, w.AddInfo(Info{Format: Format, DataFormat: 1, Program: "test", Hostname: "mx.local.test", Began: time.Unix(1e9, 0)}))
	must(t, w.Add(&tar.Header{Typeflag: tar.TypeDir, Name: "data/", Mode: 0o700}, nil))
	must(t, w.Add(&tar.Header{Typeflag: tar.TypeDir, Name: "data/closed/", Mode: 0o500}, nil))
	must(t, w.AddBytes("data/closed/key", []byte("secret"), time.Unix(1e9, 0)))
	big := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	must(t, w.Add(&tar.Header{Typeflag: tar.TypeReg, Name: "data/big", Mode: 0o640, Size: int64(len(big)), ModTime: time.Unix(1e9, 0)}, bytes.NewReader(big)))
	must(t, w.AddBytes(ConfigName, []byte("hostname"), time.Unix(1e9, 0)))
	sum, err := w.Commit()
	must(t, err)
	return path, sum
}

func TestWhatWasWrittenIsExtracted(t *testing.T) {
	path, wrote := sample(t)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Size() != wrote.Size {
		t.Errorf("the archive: %v, %v", info, err)
	}
	info, sum, err := Verify(t.Context(), path, t.TempDir(), nil)
	if err != nil || sum != wrote || info.Hostname != "mx.local.test" || sum.Files != 4 {
		t.Fatalf("verified %+v %+v, wrote %+v, %v", info, sum, wrote, err)
	}
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	last := int64(0)
	must(t, Extract(t.Context(), path, Extraction{Root: root, Owners: os.Geteuid() == 0, Tell: func(read, size int64) { last = read },
		Rename: func(n string) string { return strings.Replace(n, ConfigName, "original.toml", 1) }}))
	if last != wrote.Size {
		t.Errorf("the progress ends at %d of %d", last, wrote.Size)
	}
	for name, want := range map[string]string{"data/closed": "drwx------ 0500", "data/closed/key": "6 0600", "data/big": "320000 0640", "original.toml": "8 0600"} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		got := fmt.Sprintf("%d %04o", info.Size(), info.Mode().Perm())
		if info.IsDir() {
			got = fmt.Sprintf("drwx------ %04o", info.Mode().Perm())
		} else if !info.ModTime().Equal(time.Unix(1e9, 0)) {
			t.Errorf("%s is of %v", name, info.ModTime())
		}
		if got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	must(t, os.Chmod(filepath.Join(dir, "data/closed"), 0o700))
}

// Anybody can check a backup with the tools of the system.
func TestTheToolsOfTheSystemReadIt(t *testing.T) {
	path, sum := sample(t)
	dir := t.TempDir()
	out, err := exec.Command("sh", "-c",
		"zstd -dc "+path+" | tar -C "+dir+" -x && cd "+dir+" && sha256sum -c manifest.sha256 && sha256sum manifest.sha256 && chmod -R u+w .").CombinedOutput()
	if err != nil || strings.Count(string(out), ": OK") != sum.Files || !strings.Contains(string(out), sum.Manifest) {
		t.Errorf("%v\n%s\nwant the manifest %s", err, out, sum.Manifest)
	}
}

// Not one octet of an archive can change unseen, unless it decompresses to the very
// same: some bits of a compressed stream mean nothing.
func TestEveryFlippedOctetIsFound(t *testing.T) {
	path, _ := sample(t)
	text, err := os.ReadFile(path)
	must(t, err)
	broken, tmp := filepath.Join(t.TempDir(), "broken"), t.TempDir()
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 0x41
		must(t, os.WriteFile(broken, changed, 0o600))
		if _, _, err := Verify(t.Context(), broken, tmp, nil); err == nil && !bytes.Equal(plain(t, changed), plain(t, text)) {
			t.Errorf("octet %d of %d is wrong, and nobody saw it", i, len(text))
		}
	}
	for _, n := range []int{0, 1, len(text) / 2, len(text) - 1} {
		must(t, os.WriteFile(broken, text[:n], 0o600))
		if _, _, err := Verify(t.Context(), broken, tmp, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d octets: %v", n, err)
		}
	}
}

func plain(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := zstd.NewReader(bytes.NewReader(b))
	must(t, err)
	defer r.Close()
	out, err := io.ReadAll(r)
	must(t, err)
	return out
}

// archive writes any archive, with a manifest that somebody made up.
func archive(t testing.TB, manifest string, members ...*tar.Header) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "made-up.tar.zst")
	f, err := os.Create(path)
	must(t, err)
	z, err := zstd.NewWriter(f)
	must(t, err)
	w := tar.NewWriter(z)
	for _, m := range append(members, &tar.Header{Typeflag: tar.TypeReg, Name: ManifestName, Size: int64(len(manifest))}) {
		content := strings.Repeat("x", int(m.Size))
		switch m.Name {
		case InfoName:
			content = `{"format":1}`
		case ManifestName:
			content = manifest
		}
		if m.Typeflag == tar.TypeReg {
			m.Size = int64(len(content))
		}
		must(t, w.WriteHeader(m))
		if m.Typeflag == tar.TypeReg {
			_, err := io.WriteString(w, content)
			must(t, err)
		}
	}
	must(t, errors.Join(w.Close(), z.Close(), f.Close()))
	return path
}

const infoLine = "65faf43a2d43fb15dc2eaee7c6f6ef1fdf0ec8e3cf0c2fbcd10e2cc2ea0a1e6d  backup.json\n"

func TestArchivesThatLeadOutAreRefused(t *testing.T) {
	info := func() *tar.Header { return &tar.Header{Typeflag: tar.TypeReg, Name: InfoName} }
	for name, members := range map[string][]*tar.Header{
		"upwards":     {info(), {Typeflag: tar.TypeReg, Name: "data/../../x"}},
		"absolute":    {info(), {Typeflag: tar.TypeReg, Name: "/etc/passwd"}},
		"link":        {info(), {Typeflag: tar.TypeSymlink, Name: "data", Linkname: "/etc"}},
		"hard link":   {info(), {Typeflag: tar.TypeLink, Name: "data", Linkname: "backup.json"}},
		"device":      {info(), {Typeflag: tar.TypeChar, Name: "data"}},
		"line end":    {info(), {Typeflag: tar.TypeReg, Name: "data/a\nb"}},
		"the top":     {info(), {Typeflag: tar.TypeDir, Name: "./"}},
		"no info":     {{Typeflag: tar.TypeReg, Name: "data/x"}},
		"not in list": {info(), {Typeflag: tar.TypeReg, Name: "data/x"}},
	} {
		path := archive(t, infoLine, members...)
		if _, _, err := Verify(t.Context(), path, t.TempDir(), nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: verified, %v", name, err)
		}
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		must(t, err)
		if err := Extract(t.Context(), path, Extraction{Root: root}); err == nil {
			t.Errorf("%s: extracted", name)
		}
		must(t, root.Close())
	}
}

func TestNothingIsReplacedAndNothingIsLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "backup")
	must(t, os.WriteFile(path, []byte("dear"), 0o600))
	if _, err := Create(path); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("over a file: %v", err)
	}
	must(t, os.Remove(path))
	w, err := Create(path)
	must(t, err)
	if err := w.Add(&tar.Header{Typeflag: tar.TypeReg, Name: "data/short", Size: 10}, strings.NewReader("short")); err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("a file that shrank: %v", err)
	}
	must(t, os.WriteFile(path, []byte("dear"), 0o600))
	if _, err := w.Commit(); err == nil {
		t.Error("a backup that is not whole was committed")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func FuzzVerify(f *testing.F) {
	path, _ := sample(f)
	text, err := os.ReadFile(path)
	must(f, err)
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x")
		must(t, os.WriteFile(path, b, 0o600))
		_, _, verified := Verify(t.Context(), path, t.TempDir(), nil)
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		must(t, err)
		defer root.Close()
		if err := Extract(t.Context(), path, Extraction{Root: root}); err == nil && verified != nil {
			t.Errorf("it was extracted, and does not verify: %v", verified)
		}
	})
}
