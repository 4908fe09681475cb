package operate

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/kit/diskspace"
)

// A disk that becomes full is told of in the log and the trace, and in the log alone when
// there is no room even for a fact.
func TestDiskAlarm(t *testing.T) {
	var log bytes.Buffer
	var told []fact.Fact
	fails := error(nil)
	a := DiskAlarm{Now: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil)), Write: func(_ context.Context, facts ...fact.Fact) error {
		told = append(told, facts...)
		return fails
	}}
	a.Changed(t.Context(), "/data", diskspace.Change{Low: true, Free: 5, Reserve: 10})
	a.Changed(t.Context(), "/data", diskspace.Change{Free: 50, Reserve: 10})
	if len(told) != 2 || told[0].Rule != "disk-low" || told[1].Rule != "disk-free-again" || told[0].Kind != fact.KindAlarm {
		t.Fatalf("%+v", told)
	}
	if s := log.String(); !strings.Contains(s, "level=ERROR") || !strings.Contains(s, "has room again") || strings.Contains(s, "not recorded") {
		t.Error(s)
	}
	fails = errors.New("full")
	a.Changed(t.Context(), "/data", diskspace.Change{Low: true})
	if !strings.Contains(log.String(), "fact not recorded") {
		t.Error(log.String())
	}
}

// The status tells of the oldest message that is not held, of the disk and of what the
// server knows of itself; what cannot be read is left out.
func TestHealth(t *testing.T) {
	w := newWorld(t)
	if s, err := w.Status(t.Context(), Self(), struct{}{}); err != nil || !reflect.DeepEqual(s.Health, Health{}) {
		t.Errorf("of nothing: %+v, %v", s.Health, err)
	}
	held := w.put(t, "alice@local.test")
	time.Sleep(2 * time.Millisecond)
	began := time.Now()
	w.put(t, "bob@local.test")
	_, err := w.QueueHold(t.Context(), Self(), QueueChange{Select: Select{IDs: []string{held.String()}}, Reason: "test"})
	check(t, err)
	ends, signs := time.Now().Add(time.Hour), &ReturnPath{}
	w.o.Data, w.o.Certificate = t.TempDir(), func() *x509.Certificate { return &x509.Certificate{NotAfter: ends} }
	w.o.Obtained, w.o.ReturnPath = func() *Obtained { return &Obtained{Authority: "ca"} }, func() (*ReturnPath, error) { return signs, nil }
	s, err := w.Status(t.Context(), Self(), struct{}{})
	h := s.Health
	if err != nil || h.Oldest.Before(began.Truncate(time.Millisecond)) || h.DiskTotal == 0 || !h.CertificateExpires.Equal(ends) || h.Obtained == nil || h.ReturnPath != signs {
		t.Errorf("%+v, %v", h, err)
	}
	w.o.Certificate = func() *x509.Certificate { return nil }
	w.o.ReturnPath = func() (*ReturnPath, error) { return nil, errors.New("damaged") }
	if s, err := w.Status(t.Context(), Self(), struct{}{}); err != nil || !s.Health.CertificateExpires.IsZero() || s.Health.ReturnPath != nil {
		t.Errorf("%+v, %v", s.Health, err)
	}
}
