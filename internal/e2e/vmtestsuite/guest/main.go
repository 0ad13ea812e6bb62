// Guest is the init of the suite's guests: it says hello, shows the file
// "note" of the 9p share where there is one, and powers off.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	fmt.Println("hello from the guest")
	if err := syscall.Mount("share", "/mnt", "9p", 0, "trans=virtio,version=9p2000.L"); err == nil {
		note, err := os.ReadFile("/mnt/note")
		fmt.Printf("note: %s %v\n", note, err)
	}
	if err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("power off:", err)
	}
}
