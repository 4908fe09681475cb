package operate_test

import (
	"testing"
	"time"

	"sallyport/internal/operate"
)

const grace = 14 * 24 * time.Hour

// Status, check and doctor say when bounces are refused.
func TestReturnPathInWords(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		r    operate.ReturnPath
		want string
	}{
		{operate.ReturnPath{Sign: "tag"}, "will be signed from the next start or reload on"},
		{operate.ReturnPath{Sign: "require"}, "will be signed from the next start or reload on; 14 days later bounces without a signature are refused"},
		{operate.ReturnPath{Sign: "tag", Since: at}, "are signed since 2026-11-01; bounces without a signature are taken"},
		{operate.ReturnPath{Sign: "require", Since: at, RefusesFrom: at.Add(grace)}, "are signed since 2026-11-01; bounces without a signature are refused from 2026-11-15 12:00 UTC on"},
		{operate.ReturnPath{Sign: "require", Since: at.Add(-grace), RefusesFrom: at}, "are signed since 2026-10-18; bounces without a signature are refused since 2026-11-01"},
	} {
		if got := row.r.Words(at); got != row.want {
			t.Errorf("%+v: %q", row.r, got)
		}
	}
}
