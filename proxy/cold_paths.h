/* Every compiled function leaves through this when an exception passes. Told that it is seldom
   called, GCC moves all that leads there out of the way of what runs all the time. */
static void __Pyx_AddTraceback(const char *, int, int, const char *) __attribute__((cold, unused));
