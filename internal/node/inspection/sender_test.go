package inspection

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/filter/sender"
)

// Each key reaches the policy, and a treatment that is not known refuses.
func TestSender(t *testing.T) {
	for own, want := range map[config.Own]sender.Own{
		config.OwnRefuse: sender.OwnRefuse, config.OwnJunk: sender.OwnJunk, config.OwnDMARC: sender.OwnDMARC, config.OwnDMARC + 1: sender.OwnRefuse,
	} {
		for _, on := range []bool{false, true} {
			relays := []netip.Prefix{netip.MustParsePrefix("192.0.2.25/32")}
			got := policyOf(config.Authentication{Check: on, Apply: !on, Own: own, Time: time.Minute, Relays: relays})
			if !reflect.DeepEqual(got, sender.Policy{Check: on, Apply: !on, Own: want, Time: time.Minute, Relays: relays}) {
				t.Errorf("%v, %v: %+v", own, on, got)
			}
		}
	}
}
