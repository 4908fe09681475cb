package named

import "time"

// Limits bounds what a next hop may use.
type Limits struct {
	Connections int           // for deliveries at once, the most
	Start       int           // for deliveries at once, before anything is known about the next hop
	Questions   int           // connections for questions at once; 0: it is never asked
	Messages    int           // on one connection, and questions
	Idle        time.Duration // how long an unused connection is kept
	Connect     time.Duration // to reach the next hop, before it greets
	// Rest is the longest time for which a next hop that could not be reached is
	// left alone.
	Rest time.Duration
}

// DefaultLimits returns the bounds of a route that nobody configured.
func DefaultLimits() Limits {
	return Limits{Connections: 20, Start: 4, Messages: 100, Idle: 30 * time.Second, Connect: 30 * time.Second, Rest: 30 * time.Second}
}

// DefaultServerLimits returns the bounds of a server of ours behind us that nobody
// configured.
func DefaultServerLimits() Limits {
	return Limits{
		Connections: 20, Start: 4, Questions: 4, Messages: 100,
		Idle: 30 * time.Second, Connect: 10 * time.Second, Rest: 5 * time.Second,
	}
}

func (l Limits) valid() bool {
	return min(l.Connections, l.Start, l.Messages) > 0 && l.Questions >= 0 && min(l.Idle, l.Connect, l.Rest) > 0
}
