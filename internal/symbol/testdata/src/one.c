/* See ../README for how these are compiled. */
#include "shared.h"

volatile int sink;

__attribute__((noinline, noreturn)) static void stop(void)
{
	for (;;)
		sink = 1;
}

__attribute__((noinline)) static int twin(int n)
{
	sink = n;
	return n * 3;
}

__attribute__((noinline)) static int same(int n)
{
	sink = n;
	return n + 1;
}

static inline int deepest(int n)
{
	return shared(n) + sink;
}

static inline int deeper(int n)
{
	return deepest(n + 1) * 5;
}

int outer(int n)
{
	int sum = twin(n);

	sum += deeper(sum);
	if (sum == 7)
		stop();
	return sum + same(sum);
}
