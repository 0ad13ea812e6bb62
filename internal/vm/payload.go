package vm

import (
	"bytes"
	"encoding/binary"
	"time"
)

// What payload writes to the console around its work, and how long that may
// take: 20 ms are to be expected.
const (
	markBegin = '<'
	markEnd   = '>'
	maxProbe  = time.Second
)

// code is the program of payload: 32-bit protected mode, flat segments, no
// paging, no stack. It loops 2^25 times, executes an instruction with a VEX
// prefix where the CPU says that it has BMI1 (hypervisors that emulate
// instructions stop there), leaves the guest 256 times by a port, and ends in
// a triple fault. The two marks go to COM1.
var code = [...]byte{
	0x66, 0xba, 0xf8, 0x03, // mov $0x3f8, %dx
	0xb0, markBegin, // mov $'<', %al
	0xee,                         // out %al, (%dx)
	0xb9, 0x00, 0x00, 0x00, 0x02, // mov $1<<25, %ecx
	0x49,       // 1: dec %ecx
	0x75, 0xfd, // jnz 1b
	0xb8, 0x07, 0x00, 0x00, 0x00, // mov $7, %eax
	0x31, 0xc9, // xor %ecx, %ecx
	0x0f, 0xa2, // cpuid
	0xf6, 0xc3, 0x08, // test $BMI1, %bl
	0x74, 0x05, // jz 2f
	0xc4, 0xe2, 0x60, 0xf2, 0xc1, // andn %ecx, %ebx, %eax
	0xb9, 0x00, 0x01, 0x00, 0x00, // 2: mov $256, %ecx
	0xe6, 0x80, // 3: out %al, $0x80
	0x49,       // dec %ecx
	0x75, 0xfb, // jnz 3b
	0x66, 0xba, 0xf8, 0x03, // mov $0x3f8, %dx
	0xb0, markEnd, // mov $'>', %al
	0xee,                                     // out %al, (%dx)
	0x0f, 0x01, 0x1d, 0x00, 0x00, 0x00, 0x00, // lidt (zeroes, patched by payload)
	0xcc,       // int3
	0xeb, 0xfd, // jmp back to int3
}

// payload is an ELF kernel with a PVH note whose program is code.
func payload() []byte {
	const (
		load     = 0x100000 // where it goes in the guest's memory
		headers  = 52 + 2*32
		noteSize = 12 + 4 + 4
		entry    = load + headers + noteSize
	)
	text := code
	zeroes := uint32(entry + len(text))
	binary.LittleEndian.PutUint32(text[len(text)-7:], zeroes)
	size := uint32(headers + noteSize + len(text) + 8)
	var b bytes.Buffer
	b.WriteString("\x7fELF\x01\x01\x01")
	b.Write(make([]byte, 9))
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	put([]uint16{2, 3})                                       // executable, 386
	put([]uint32{1, entry, 52, 0, 0})                         // program headers follow
	put([]uint16{52, 32, 2, 0, 0, 0})                         // sizes; two of them
	put([]uint32{1, 0, load, load, size, size, 7, 4096})      // PT_LOAD: the whole file
	put([]uint32{4, headers, load + headers, load + headers}) // PT_NOTE:
	put([]uint32{noteSize, noteSize, 4, 4})                   // …
	put([]uint32{4, 4, 18})                                   // XEN_ELFNOTE_PHYS32_ENTRY
	b.WriteString("Xen\x00")
	put(uint32(entry))
	b.Write(text[:])
	b.Write(make([]byte, 8))
	return b.Bytes()
}
