package node

import (
	"context"
	"fmt"

	"sallyport/internal/config"
	"sallyport/internal/fact"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
)

// mostChanges bounds the keys that one fact and one log record of a reload name.
const mostChanges = 50

// Reload reads the configuration again. A faulty one changes nothing, and its faults
// are returned; a good one is in force for the next connection, transaction and
// delivery when Reload returns. What is under way keeps what it began with. by says
// who asked for it.
func (n *Node) Reload(ctx context.Context, by string) (operate.Reloaded, error) {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	if !n.listening.Load() {
		return operate.Reloaded{}, &operate.Error{Code: operate.CodeInvalid, Message: "no server is running; it reads its configuration when it starts"}
	}
	last := n.now()
	written, err := config.Load(last.cfg.File)
	if err != nil {
		return n.refuseReload(ctx, by, err)
	}
	changes := written.Changes(last.cfg)
	next, err := n.build(ctx, written.Keeping(last.cfg), last)
	if err != nil {
		return n.refuseReload(ctx, by, err)
	}
	n.adopt(next)
	last.retire(next)
	n.identity.Wake()
	return n.reloaded(ctx, by, next, changes), nil
}

func (n *Node) reloaded(ctx context.Context, by string, g *generation, changes []config.Change) operate.Reloaded {
	out := operate.Reloaded{Generation: g.number, Changed: []operate.ReloadChange{}, Restart: []operate.ReloadChange{}}
	f := n.reloadFact(by, RuleReloaded, fmt.Sprintf("configuration %d is in force", g.number))
	for i, c := range changes {
		change, to, name := operate.ReloadChange{Key: c.Key, Position: c.Position.String(), Why: c.Restart}, &out.Changed, "changed"
		if c.Restart != "" {
			to, name = &out.Restart, "needs a restart"
		}
		*to = append(*to, change)
		if i < mostChanges {
			f = f.Evidenced(name, c.Key)
		}
	}
	f.Count = len(changes)
	if w := n.identity.Warning(); w != "" {
		out.Warnings = append(out.Warnings, w)
	}
	n.record(ctx, f)
	n.log.Info("configuration reloaded", "generation", g.number, "by", by, "changed", keysOf(out.Changed), "needs_restart", keysOf(out.Restart))
	return out
}

func keysOf(changes []operate.ReloadChange) []string {
	keys := make([]string, 0, len(changes))
	for _, c := range changes[:min(len(changes), mostChanges)] {
		keys = append(keys, c.Key)
	}
	return keys
}

// refuseReload reports what is wrong, to the caller, the log and the trace.
func (n *Node) refuseReload(ctx context.Context, by string, err error) (operate.Reloaded, error) {
	out := operate.Reloaded{Generation: n.now().number, Faults: settings.Faults(err)}
	f := n.reloadFact(by, RuleReloadRefused, "the former configuration stays in force")
	f.Count = len(out.Faults)
	for i, fault := range out.Faults {
		if i < mostChanges {
			f = f.Evidenced("fault", fault.Line())
		}
		n.log.Error("the configuration was not reloaded", "fault", fault.Line(), "by", by)
	}
	n.record(ctx, f)
	return out, nil
}

func (n *Node) reloadFact(by, rule, text string) fact.Fact {
	return fact.Reloaded{At: n.o.Now(), Rule: rule, Text: text, Evidence: []fact.Pair{{Name: "by", Value: by}}}.Fact()
}

// record writes a fact that accompanies no other change.
func (n *Node) record(ctx context.Context, f fact.Fact) {
	if err := n.data.Trace.Write(context.WithoutCancel(ctx), f); err != nil {
		n.log.Error("fact not recorded", "kind", string(f.Kind), "err", err)
	}
}
