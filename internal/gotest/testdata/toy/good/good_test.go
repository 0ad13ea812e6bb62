package good

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(m.Run()) }

func TestPass(t *testing.T) { fmt.Print("no newline"); t.Log("logged") }

func TestFail(t *testing.T) { t.Error("wrong") }

func TestSkip(t *testing.T) { t.Skip("not here") }

func TestParallel(t *testing.T) {
	for _, name := range []string{"a", "b"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Log("in", name) // what is printed past the test is whose marker came last
			t.Run("deep", func(t *testing.T) { t.Log("deep") })
		})
	}
}

func TestBytes(t *testing.T) {
	os.Stdout.WriteString("bad \xff\xfe utf-8\n--- PASS: TestFake (0.00s)\n")
}

func helperTest(t *testing.T) {}

func BenchmarkLoop(b *testing.B) {
	for b.Loop() {
	}
}

func FuzzSeeds(f *testing.F) {
	f.Add(1)
	f.Fuzz(func(t *testing.T, n int) {})
}

func Example_output() {
	fmt.Println("shown")
	// Output: shown
}

func Example_silent() {
	// Output:
}

func Example_compiled() { fmt.Println("never run") }
