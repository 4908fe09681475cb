package stage

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
)

// fate is what a rehearsal does with a part of somebody's configuration. The zero fate is none.
type fate uint8

const (
	taken   fate = iota + 1 // as it is: it is about the server alone
	own                     // the rehearsal has one of its own
	leftOut                 // at its default, as if the file did not have it
)

// fates are those of every field of a configuration. A new field belongs here: whoever adds one
// decides whether a rehearsal may touch what it names. What stands behind a dot wins.
var fates = map[string]fate{
	"File": own, "Hostname": taken, "Data": own, "Postmaster": taken, "Notice": taken, "Detail": taken, "Literals": leftOut,
	"Listen": own, "TLS": own, "ACME": leftOut, "Proxy": own, "Proxy.Timeout": leftOut,
	"Domains": own, "Aliases": taken, "Routes": own, "LDAP": leftOut, "Callout": taken, "MX": leftOut, "MX.Delivery": own,
	"Forward": taken, "Budget": taken, "Hijack": taken, "Webhook": leftOut, "OIDC": leftOut, "DKIM": taken, "Authentication": taken,
	"Limits": taken, "Limits.GreetDelay": own, "Retry": taken, "Maildir": own,
	"Trace": own, "Trace.Keep": taken, "Trace.KeepStrangers": taken, "Auth": taken, "Auth.Mechanisms": leftOut, "Metrics": leftOut,
	"TLSPolicy": leftOut, "Autoconfig": leftOut, "DMARCReport": leftOut, "ReturnPath": taken, "Submission": taken,
	"Rspamd": leftOut, "Milters": leftOut, "Bounces": taken, "Screen": leftOut, "Inflow": taken, "Mailbox": taken, "DNSBL": leftOut,
	"Networks": leftOut, "Sendmail": leftOut, "Helpers": leftOut, "CheckPassword": leftOut,
	"positions": own, "written": own,
}

// harmless are texts and addresses that a rehearsal has from the configuration and that lead to
// nobody outside.
var harmless = map[string]string{
	"Hostname.ascii":          "it calls itself so",
	"Postmaster.domain.ascii": "an address of ours",
	"Notice":                  "a text for strangers",
	"Aliases":                 "addresses of ours, and where they stand",
	"Domains.Name.ascii":      "a domain of ours",
	"Domains.Postmaster":      "an address of ours",
	"ReturnPath.Exempt":       "addresses of ours",
	"Authentication.Relays":   "networks that clients are held against; nothing is sent to them",
	"written":                 "the rehearsal's own file, which has our name",
}

const (
	liveText = "/live.example/"
	liveHost = "live.example"
)

var (
	liveAddr = netip.MustParseAddr("192.0.2.77")
	sinks    = Sinks{Outside: "127.0.0.1:2001", Behind: "127.0.0.1:2002"}
)

// live is a configuration in which everything is said, and leads to what lives.
func live(t *testing.T) config.Config {
	t.Helper()
	var c config.Config
	fill(t, reflect.ValueOf(&c).Elem(), "")
	// A server behind us, whose recipients stand in a file.
	c.Domains[0].Deliver = config.Delivery{Kind: directory.DeliverSMTP, Host: liveHost, Port: 25}
	c.Domains[0].Recipients = directory.RecipientsList
	return c
}

// fill puts something other than the zero value everywhere.
func fill(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch v.Interface().(type) {
	case mail.Domain:
		d, err := mail.ParseDomain(liveHost)
		if err != nil {
			t.Fatal(err)
		}
		v.Set(reflect.ValueOf(d))
		return
	case mail.Address:
		a, err := mail.ParseAddress("live@"+liveHost, mail.ASCII)
		if err != nil {
			t.Fatal(err)
		}
		v.Set(reflect.ValueOf(a))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(liveAddr))
		return
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.AddrPortFrom(liveAddr, 2525)))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.PrefixFrom(liveAddr, 32)))
		return
	}
	switch v.Kind() {
	case reflect.Map:
		key, one := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, path)
		fill(t, one, path)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, one)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(t, v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), path)
	case reflect.String:
		v.SetString(liveText + path)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(77 * time.Second))
	case reflect.Uint8:
		v.SetUint(1)
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(77)
	case reflect.Float64:
		v.SetFloat(7.7)
	default:
		t.Fatalf("%s is a %s: say here how something is put there", path, v.Type())
	}
}

// parts calls fn with every part of a configuration that has a fate of its own: fields, and fields
// of those where some have another one.
func parts(v reflect.Value, prefix string, fn func(path string, index []int), index ...int) {
	for i := range v.NumField() {
		path := prefix + v.Type().Field(i).Name
		at := append(append([]int{}, index...), i)
		split := false
		for p := range fates {
			split = split || strings.HasPrefix(p, path+".")
		}
		if split {
			parts(v.Field(i), path+".", fn, at...)
			continue
		}
		fn(path, at)
	}
}

// Every part of a configuration is taken over as it is, is the rehearsal's own, or is left out, as
// the table of fates says; and a part that the table does not know fails.
func TestEveryPartHasAFate(t *testing.T) {
	from := live(t)
	contained, err := Contained(from, t.TempDir(), sinks)
	if err != nil {
		t.Fatal(err)
	}
	standard, err := config.Parse("x.toml", []byte("hostname = \"mx.example\"\ndata = \"data\"\n[listen]\nmx = [\"127.0.0.1:25\"]\n[domain.\"example\"]\ndeliver = \"maildir\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	a, b, d := reflect.ValueOf(from), reflect.ValueOf(contained), reflect.ValueOf(standard)
	known := map[string]bool{}
	parts(a, "", func(path string, index []int) {
		kind, ok := fates[path]
		for p := path; !ok && strings.Contains(p, "."); kind, ok = fates[p] {
			p = p[:strings.LastIndex(p, ".")]
			known[p] = true
			if kind, ok = fates[p]; ok {
				break
			}
		}
		known[path] = true
		is, was, standard := fmt.Sprintf("%#v", b.FieldByIndex(index)), fmt.Sprintf("%#v", a.FieldByIndex(index)), fmt.Sprintf("%#v", d.FieldByIndex(index))
		switch {
		case !ok:
			t.Errorf("nobody said what a rehearsal does with %s: the table of fates does, and docs/drill.md", path)
		case kind == taken && is != was:
			t.Errorf("%s is not taken over: %s, was %s", path, is, was)
		case kind == leftOut && is != standard:
			t.Errorf("%s is not left out: %s, its default is %s", path, is, standard)
		case kind == own && is == was && path != "positions" && path != "written":
			t.Errorf("%s is that of the configuration: %s", path, is)
		}
	})
	for path := range fates {
		if !known[path] && !strings.Contains(path, ".") {
			t.Errorf("%s is no part of a configuration any more", path)
		}
	}
}

// Nothing of a rehearsal's configuration names a path, a host or an address of what lives, beside
// names of ours; and it listens at free ports of loopback alone.
func TestNothingLeadsToWhatLives(t *testing.T) {
	contained, err := Contained(live(t), t.TempDir(), sinks)
	if err != nil {
		t.Fatal(err)
	}
	for _, door := range contained.Listen.Doors() {
		for _, at := range door.At {
			if !at.Addr().IsLoopback() || at.Port() != 0 {
				t.Errorf("%s listens at %s", door.Name, at)
			}
		}
	}
	used := map[string]bool{}
	walk(reflect.ValueOf(contained), "", func(path, text string) {
		if !strings.Contains(text, "live.example") && !strings.Contains(text, liveAddr.String()) {
			return
		}
		for p := path; p != ""; p = p[:max(0, strings.LastIndex(p, "."))] {
			if harmless[p] != "" {
				used[p] = true
				return
			}
		}
		t.Errorf("%s is %q, which lives", path, text)
	})
	for p := range harmless {
		if !used[p] {
			t.Errorf("%s needs no reason to be harmless", p)
		}
	}
}

// walk calls fn with every text and every network address.
func walk(v reflect.Value, path string, fn func(path, text string)) {
	if v.CanInterface() {
		switch x := v.Interface().(type) {
		case netip.Addr, netip.AddrPort, netip.Prefix:
			fn(path, fmt.Sprint(x))
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			walk(v.Elem(), path, fn)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			walk(v.Field(i), strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), fn)
		}
	case reflect.Map:
		for i := v.MapRange(); i.Next(); {
			walk(i.Key(), path, fn)
			walk(i.Value(), path, fn)
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), path, fn)
		}
	case reflect.String:
		fn(path, v.String())
	}
}
