extern volatile int sink;

/* Too large to put into every caller, and the same in all of them. */
__attribute__((noinline)) static int shared(int n)
{
	sink = n;
	sink = n ^ 5;
	return n / 3;
}
