package vm

import (
	"testing"
)

// How guests end, with real ones.
func TestEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode string
		want Reason
	}{
		{"", PowerOff}, {"panic", Panicked}, {"exit", Panicked}, {"triple", Reset}, {"reboot", Reset},
	} {
		t.Run("mode="+c.mode, func(t *testing.T) {
			t.Parallel()
			got := boot(t, machine(t, c.mode), Options{})
			if got.Reason != c.want {
				t.Errorf("ended by %s (%s), want %s; console:\n%s", got.Reason, got.Detail, c.want, got.ConsoleTail)
			}
			t.Logf("%s: %+v", got.Reason, got.Times)
			t.Logf("%+v", got.Events)
		})
	}
}
