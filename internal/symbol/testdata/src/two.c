#include "shared.h"

extern volatile int sink;
int outer(int n);

__attribute__((noinline)) static int twin(int n)
{
	sink = n;
	sink = n + 1;
	sink = n + 2;
	return n * 3;
}

__attribute__((noinline)) static int same(int n)
{
	sink = n;
	return n + 1;
}

void _start(void)
{
	sink = outer(twin(same(shared(sink))));
	for (;;)
		;
}
