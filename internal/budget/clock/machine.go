package clock

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine reads the clocks of this machine.
func Machine() func() Reading {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // a service may not see it, and is told
	boot := strings.TrimSpace(string(id))
	if boot == "" {
		boot = os.Getenv("SALLYPORT_BOOT")
	}
	boot = strings.ReplaceAll(boot, "-", "") // systemd writes it without
	if boot == "" {
		// Which start of the machine it is nobody knows: this one of the program is as good, until it ends.
		boot = time.Now().Format(time.RFC3339Nano)
	}
	begun := time.Now()
	return func() Reading {
		r := Reading{Boot: boot, Wall: time.Now()}
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
			return Reading{Boot: boot + " " + begun.String(), Since: r.Wall.Sub(begun), Wall: r.Wall}
		}
		r.Since = time.Duration(t.Nano())
		return r
	}
}
