package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// waited is what was found out about clients that wait.
type waited struct {
	idle   []idleSample
	notice []noticeSample
}

// noticeSample is how long after its 250 an idler heard of a message.
type noticeSample struct {
	server              string
	messages            int
	median, most, worst time.Duration // 99th percentile
}

// waiting measures idling clients.
func (s *readings) waiting(ctx context.Context) (w waited, err error) {
	for _, r := range s.servers {
		if s.o.notices > 0 {
			n, err := s.notices(ctx, r)
			if err != nil {
				return w, fmt.Errorf("new mail at %s: %w", r.name, err)
			}
			fmt.Fprintf(s.progress, "new mail told after %v, %v at the 99th percentile (%s)\n", n.median, n.most, n.server)
			w.notice = append(w.notice, n)
		}
	}
	for _, secured := range []bool{false, true} {
		for _, r := range s.servers {
			if s.o.idlers == 0 || !secured && r.name == ours {
				continue // nobody signs in outside TLS
			}
			i, err := s.idlers(ctx, r, secured)
			if err != nil {
				return w, fmt.Errorf("idling at %s: %w", r.name, err)
			}
			fmt.Fprintf(s.progress, "%s: %.1f KiB each (%s)\n", i.Kind, i.each()/1024, i.Server)
			w.idle = append(w.idle, i)
		}
	}
	return w, nil
}

// idlers measures the memory of clients that idle on a folder of 5,000 messages.
func (s *readings) idlers(ctx context.Context, r *reading, secured bool) (i idleSample, err error) {
	addr, cfg := r.imap, (*tls.Config)(nil)
	i = idleSample{Kind: "idling on 5,000 messages, in clear", Server: r.name, Connections: s.o.idlers}
	if secured {
		i.Kind, addr, cfg = "idling on 5,000 messages, under TLS", r.imaps, r.tls
	}
	if i.Before, err = memoryAtRest(ctx, r.root); err != nil {
		return i, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var open []*reader
	turns := make(chan struct{}, openAtOnce)
	for range s.o.idlers {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			c, problem := idleOn(ctx, r, addr, cfg, "Idle")
			mu.Lock()
			defer mu.Unlock()
			if problem != nil {
				err = problem
				return
			}
			open = append(open, c)
		})
	}
	wg.Wait()
	defer func() {
		for _, c := range open {
			_ = c.nc.Close() // it has nothing to lose
		}
	}()
	if err != nil {
		return i, err
	}
	// What opening left behind is not what idling takes.
	select {
	case <-time.After(idleRest):
	case <-ctx.Done():
		return i, ctx.Err()
	}
	i.After, err = memoryAtRest(ctx, r.root)
	return i, err
}

// idleRest is how long clients have idled when the memory that they take is read: a little longer than Go
// leaves garbage alone that nobody else has collected.
const idleRest = 130 * time.Second

// idleOn opens a folder and idles.
func idleOn(ctx context.Context, r *reading, addr string, cfg *tls.Config, folder string) (*reader, error) {
	c, err := dialReader(ctx, addr, cfg, readerAddress, readerPassword, 4096)
	if err != nil {
		return nil, err
	}
	if err := c.ask("SELECT " + folder); err != nil {
		return nil, c.fail(err)
	}
	if err := c.say("i IDLE\r\n"); err != nil {
		return nil, c.fail(err)
	}
	if err := c.await("+"); err != nil {
		return nil, c.fail(err)
	}
	return c, nil
}

// notices brings messages one by one and takes the time until an idler is told.
func (s *readings) notices(ctx context.Context, r *reading) (n noticeSample, err error) {
	c, err := idleOn(ctx, r, r.imaps, r.tls, "INBOX")
	if err != nil {
		return n, err
	}
	defer c.nc.Close()
	told := make(chan time.Time, 1)
	go func() {
		defer close(told)
		for {
			line, err := c.in.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasSuffix(line, " EXISTS\r\n") {
				told <- time.Now()
			}
		}
	}()
	out, err := dialBringer(r)
	if err != nil {
		return n, err
	}
	defer out.nc.Close()
	var took []time.Duration
	for i := range s.o.notices {
		accepted, err := out.bring(i)
		if err != nil {
			return n, err
		}
		select {
		case at, ok := <-told:
			if !ok {
				return n, fmt.Errorf("the idler was cut off at message %d", i)
			}
			took = append(took, max(0, at.Sub(accepted)))
		case <-time.After(readTimeout):
			return n, fmt.Errorf("nobody was told of message %d", i)
		}
	}
	mid, most, worst := percentiles(took)
	return noticeSample{r.name, len(took), mid, most, worst}, nil
}

// bringer brings mail by SMTP or LMTP.
type bringer struct {
	nc net.Conn
	in *bufio.Reader
}

func dialBringer(r *reading) (*bringer, error) {
	nc, err := net.Dial("tcp", r.mail)
	if err != nil {
		return nil, err
	}
	b := &bringer{nc, bufio.NewReader(nc)}
	if err := b.reply("220"); err != nil {
		return nil, err
	}
	return b, b.ask(r.greet+" client.example.test", "250")
}

func (b *bringer) ask(command, code string) error {
	if _, err := b.nc.Write([]byte(command + "\r\n")); err != nil {
		return err
	}
	return b.reply(code)
}

func (b *bringer) reply(code string) error {
	for {
		line, err := b.in.ReadString('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 || line[:3] != code {
			return fmt.Errorf("answered %q", line)
		}
		if line[3] == ' ' {
			return nil
		}
	}
}

// bring brings one message, and returns when it was accepted.
func (b *bringer) bring(i int) (time.Time, error) {
	for _, step := range [][2]string{{"MAIL FROM:<person@example.test>", "250"}, {"RCPT TO:<" + readerAddress + ">", "250"}, {"DATA", "354"}} {
		if err := b.ask(step[0], step[1]); err != nil {
			return time.Time{}, err
		}
	}
	err := b.ask(strings.ReplaceAll(string(example(i, 10240)), "\n", "\r\n")+".", "250")
	return time.Now(), err
}
