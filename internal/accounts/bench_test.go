package accounts

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// BenchmarkSignIn: what a session pays when the password is remembered.
func BenchmarkSignIn(b *testing.B) {
	f := withAlice(b, DefaultLimits())
	for b.Loop() {
		if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHash: what it costs otherwise, at the default cost.
func BenchmarkHash(b *testing.B) {
	f := withAlice(b, DefaultLimits())
	s := f.record("alice@local.test").secret
	for b.Loop() {
		s.Argon.matches("wrong")
	}
}

// BenchmarkTiming is row H27 with a stopwatch: 1,000 failed sign-ins at an account
// that exists and 1,000 at one that does not, in turn. It reports the median of the
// distance of Kolmogorov and Smirnov, and of the p-value, which should exceed 0.01.
func BenchmarkTiming(b *testing.B) {
	l := laxLimits()
	f := withAlice(b, l)
	wrong := 0
	tries := map[string]func(user string){
		MechPlain: func(user string) { f.signIn(user, fmt.Sprint("wrong", wrong), home()) },
		MechScram: func(user string) {
			x, _ := f.Begin(MechScram, home())
			first, _, _ := x.Next(context.Background(), []byte("n,,n="+user+",r=abcdef"))
			nonce, _, _ := cut(string(first))
			x.Next(context.Background(), []byte("c=biws,"+nonce+",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
		},
	}
	for _, mech := range []string{MechPlain, MechScram} {
		b.Run(mech, func(b *testing.B) {
			var ds, ps []float64
			for b.Loop() {
				var times [2][]float64
				for n := range 2000 {
					wrong++
					user := []string{"alice@local.test", "never@local.test"}[n%2]
					start := time.Now()
					tries[mech](user)
					times[n%2] = append(times[n%2], float64(time.Since(start)))
				}
				d, p := kolmogorovSmirnov(times[0], times[1])
				ds, ps = append(ds, d), append(ps, p)
			}
			slices.Sort(ds)
			slices.Sort(ps)
			b.ReportMetric(ds[len(ds)/2], "KS-D")
			b.ReportMetric(ps[len(ps)/2], "KS-p")
		})
	}
}

func cut(s string) (nonce, rest string, ok bool) {
	for n := range s {
		if s[n] == ',' {
			return s[:n], s[n+1:], true
		}
	}
	return s, "", false
}

// kolmogorovSmirnov compares two samples: the greatest distance of their
// distributions, and how often chance alone makes it as great.
func kolmogorovSmirnov(a, b []float64) (d, p float64) {
	slices.Sort(a)
	slices.Sort(b)
	for i, j := 0, 0; i < len(a) && j < len(b); {
		v := min(a[i], b[j])
		for i < len(a) && a[i] == v {
			i++
		}
		for j < len(b) && b[j] == v {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	n := float64(len(a)) * float64(len(b)) / float64(len(a)+len(b))
	x := (math.Sqrt(n) + 0.12 + 0.11/math.Sqrt(n)) * d
	for k := 1.0; k <= 100; k++ {
		p += 2 * math.Pow(-1, k-1) * math.Exp(-2*k*k*x*x)
	}
	return d, min(1, max(0, p))
}

// BenchmarkOpen reads 100,000 accounts.
func BenchmarkOpen(b *testing.B) {
	ctx := context.Background()
	st := mem.New()
	f := open(b, st, Options{Limits: laxLimits()})
	f.add(b, "alice@local.test", alicePassword)
	r := *f.record("alice@local.test")
	for batch := range 100 {
		var tx store.Tx
		for n := range 1000 {
			r.Address = address(b, fmt.Sprintf("user%d.%d@local.test", batch, n))
			value, err := r.encode()
			if err != nil {
				b.Fatal(err)
			}
			tx.Mutations = append(tx.Mutations, store.Mutation{Key: accountKey(r.Address.Key()), Value: value})
		}
		if _, err := st.Apply(ctx, tx, store.Lazy); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		g := open(b, st, Options{Limits: laxLimits()})
		if list, err := g.List(ctx); err != nil || len(list) != 100_001 {
			b.Fatal(len(list), err)
		}
	}
}
