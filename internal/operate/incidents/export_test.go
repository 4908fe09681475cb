package incidents_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/incident/bundle"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/test/operator"
)

// The evidence of an incident comes as files, the sums and their signature last, with the header of what is held and
// of what was purged; that it was asked for is a fact.
func TestTheEvidenceComesAsFiles(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := operator.New(t)
			w.With(func(o *operate.Options) {
				o.Greeting = func() (mail.Domain, string) { return operator.Domain(t, "mx.local.test"), "strangers, beware" }
			})
			_, before, after := w.Contained(t)
			c := w.Clients(t)[way]
			_, err := c.IncidentPurge(t.Context(), operate.IncidentPurge{Number: 1})
			operator.Check(t, err)
			export := func(r operate.IncidentExport) (names []string, by map[string]string) {
				by = map[string]string{}
				operator.Check(t, c.IncidentExport(t.Context(), r, func(f bundle.File) error {
					names, by[f.Name] = append(names, f.Name), string(f.Data)
					return nil
				}))
				return names, by
			}
			names, files := export(operate.IncidentExport{Number: 1})
			for _, name := range []string{"headers/held-" + before.ID + ".txt", "headers/purged-" + after.ID + ".txt", "proofs.jsonl", "checkpoint", bundle.Page, bundle.PublicKey, "timeline.txt"} {
				if !slices.Contains(names, name) {
					t.Errorf("%s is missing among %q", name, names)
				}
			}
			if n := len(names); names[n-2] != bundle.Sums || names[n-1] != bundle.Signature {
				t.Errorf("the last ones are %q", names[n-2:])
			}
			for _, name := range names[:len(names)-2] {
				sum := sha256.Sum256([]byte(files[name]))
				if !strings.Contains(files[bundle.Sums], hex.EncodeToString(sum[:])+"  "+name) {
					t.Errorf("the sum of %s is another", name)
				}
			}
			if !strings.Contains(files["headers/held-"+before.ID+".txt"], "Subject: x") ||
				!strings.Contains(files["timeline.txt"], "incident 1 raised") ||
				!strings.Contains(files[bundle.Page], "strangers, beware") {
				t.Errorf("the files say nothing:\n%s", files[bundle.Page])
			}
			if s := w.Story(t, "alice@local.test"); !strings.Contains(s, "the evidence of incident 1 was exported") {
				t.Errorf("the trace says nothing of it:\n%s", s)
			}
			_, none := export(operate.IncidentExport{Number: 1, Since: time.Now().Add(time.Hour)})
			if strings.Contains(none["timeline.txt"], "incident 1 raised") {
				t.Error("what was before is in it as well")
			}
			err = c.IncidentExport(t.Context(), operate.IncidentExport{Number: 2}, nil)
			operator.WantCode(t, err, call.CodeNotFound)
		})
	}
}

// A pause of what accounts have in common ends once, holds no messages, and can be neither purged nor exported.
func TestAPauseEnds(t *testing.T) {
	w := operator.New(t)
	raised, err := w.Options.Incidents.Pause(t.Context(),
		incident.Incident{Shared: incident.Shared{Kind: incident.KindNetwork, Text: "192.0.2.0/24"}, Rule: "hijack", By: "the detector", Reason: "three accounts at once"},
		nil)
	operator.Check(t, err)
	c, ctx := operate.Direct(w.Operator), t.Context()
	shown, err := c.IncidentShow(ctx, operate.IncidentRef{Number: raised.Number})
	if err != nil || shown.State != incident.StateOpen || len(shown.Held) != 0 || shown.Standing != "" {
		t.Errorf("%+v, %v", shown, err)
	}
	_, err = c.IncidentPurge(ctx, operate.IncidentPurge{Number: raised.Number})
	operator.WantCode(t, err, call.CodeInvalid)
	err = c.IncidentExport(ctx, operate.IncidentExport{Number: raised.Number}, nil)
	operator.WantCode(t, err, call.CodeInvalid)
	_, err = c.IncidentRelease(ctx, operate.IncidentRelease{Number: raised.Number, Messages: []string{"06f1k4h8m2n5q7r9s1t3v5w7"}})
	operator.WantCode(t, err, call.CodeInvalid)
	end, err := c.IncidentRelease(ctx, operate.IncidentRelease{Number: raised.Number, Reason: "it is our own shop"})
	if err != nil || !end.Freed || end.Incident.State != incident.StateReleased {
		t.Errorf("%+v, %v", end, err)
	}
	if end, err = c.IncidentRelease(ctx, operate.IncidentRelease{Number: raised.Number}); err != nil || end.Freed {
		t.Errorf("twice: %+v, %v", end, err)
	}
}

// Incidents are listed the latest first, those of an account, the open ones, and no more than are wanted.
func TestIncidentsAreListed(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "alice@local.test", "bob@local.test")
	c, ctx := operate.Direct(w.Operator), t.Context()
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := c.AccountFreeze(ctx, operate.AccountReason{Address: a, Reason: "leak"})
		operator.Check(t, err)
	}
	_, err := c.AccountThaw(ctx, operate.AccountRef{Address: "alice@local.test"})
	operator.Check(t, err)
	list := func(r operate.IncidentSelect) string {
		var all []string
		operator.Check(t, c.IncidentList(ctx, r, func(i incident.Incident) error { all = append(all, fmt.Sprint(i.Number)); return nil }))
		return strings.Join(all, " ")
	}
	for want, r := range map[string]operate.IncidentSelect{"2 1": {}, "2": {Open: true}, "1": {Account: "Alice@local.test"}, "": {Account: "carol@local.test"}} {
		if got := list(r); got != want {
			t.Errorf("%+v: %q", r, got)
		}
	}
	if got := list(operate.IncidentSelect{Limit: 1}); got != "2" {
		t.Errorf("one of them: %q", got)
	}
	err = c.IncidentList(ctx, operate.IncidentSelect{Account: "alice"}, nil)
	operator.WantCode(t, err, call.CodeInvalid)
	_, err = c.IncidentRelease(ctx, operate.IncidentRelease{Number: 2, Messages: []string{"nonsense"}})
	operator.WantCode(t, err, call.CodeInvalid)
	_, err = c.IncidentRelease(ctx, operate.IncidentRelease{Number: 2, Messages: []string{"06f1k4h8m2n5q7r9s1t3v5w7"}})
	operator.WantCode(t, err, call.CodeNotFound)
}

// Whoever else was signed in to from the addresses of an incident is named with it, and what its account forwards to.
func TestOthersFromTheSameAddress(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "alice@local.test", "bob@local.test", "carol@local.test")
	ctx, peer := t.Context(), netip.MustParseAddr("192.0.2.66")
	for account, from := range map[string]netip.Addr{"alice@local.test": peer, "bob@local.test": peer, "carol@local.test": netip.MustParseAddr("192.0.2.7")} {
		operator.Check(t,
			w.Log.Write(ctx, fact.Fact{At: time.Now(), Kind: fact.KindAuth, Rule: "signed-in", Account: account, Door: "submission", Peer: from, Reply: mail.R(235, "2.7.0", "ok")}))
	}
	c := operate.Direct(w.Operator)
	_, err := c.ForwardAdd(ctx, operate.ForwardAdd{Account: "alice@local.test", Targets: []string{"a@remote.test"}})
	operator.Check(t, err)
	_, _, _, err = w.Options.Incidents.Contain(ctx, incident.Incident{Account: operator.Address(t, "alice@local.test"), Rule: "hijack", By: "the detector", Reason: "x", Seen: []incident.Origin{{Peer: peer, Door: "submission", At: time.Now()}, {Peer: peer}}})
	operator.Check(t, err)
	v, err := c.IncidentShow(ctx, operate.IncidentRef{Number: 1})
	if err != nil || !slices.Equal(v.Others, []string{"bob@local.test"}) || v.Forward == nil || v.Forward.Targets[0] != "a@remote.test" {
		t.Errorf("%+v, %+v, %v", v.Others, v.Forward, err)
	}
}
