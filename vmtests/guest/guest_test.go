package guest

import "testing"

func TestReleasesAreRead(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Release{
		"6.12.117":           {6, 12},
		"6.1.0-40-amd64":     {6, 1},
		"7.3":                {7, 3},
		"6.12.117-runvm+abc": {6, 12},
		"10.0-rc1":           {10, 0},
	} {
		if got, err := ParseRelease(s); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "6", "six.one", "-1.2", ".1", "6.-1"} {
		if got, err := ParseRelease(s); err == nil {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}

func TestReleasesAreOrdered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b Release
		want bool
	}{
		{Release{6, 5}, Release{6, 12}, true},
		{Release{6, 12}, Release{6, 5}, false},
		{Release{6, 12}, Release{6, 12}, false},
		{Release{5, 19}, Release{6, 0}, true},
		{Release{7, 0}, Release{6, 12}, false},
	} {
		if got := c.a.Before(c.b); got != c.want {
			t.Errorf("%v before %v: %v", c.a, c.b, got)
		}
	}
}
