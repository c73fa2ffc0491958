/* Containers in kinds. */
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <list>
#include <map>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <unordered_map>
#include <vector>

#include <fixed_allocator.h>
#include <memkind_allocator.h>
#include <pmem_allocator.h>

static void need(bool condition, const char *what)
{
	if (!condition) {
		std::fprintf(stderr, "not so: %s\n", what);
		std::exit(1);
	}
}

template <typename Allocator> static void containers(const char *name, const Allocator &allocator)
{
	{
		std::vector<int, Allocator> vector{allocator};
		for (int i = 0; i < 100000; i++)
			vector.push_back(i);
		need(vector[99999] == 99999, name);
		std::vector<int, Allocator> copy = vector;
		need(copy == vector, name);
		need(copy.get_allocator() == allocator, name);
		std::vector<int, Allocator> moved = std::move(copy);
		need(moved.size() == 100000, name);
	}
	using Pair = std::pair<const int, long>;
	using OfPairs = typename std::allocator_traits<Allocator>::template rebind_alloc<Pair>;
	std::map<int, long, std::less<int>, OfPairs> map{std::less<int>(), OfPairs(allocator)};
	std::unordered_map<int, long, std::hash<int>, std::equal_to<int>, OfPairs> table(
		10, std::hash<int>(), std::equal_to<int>(), OfPairs(allocator));
	for (int i = 0; i < 10000; i++)
		map[i] = table[i] = i * 3L;
	need(map[777] == 2331 && table[9999] == 29997, name);
	std::list<int, Allocator> list(1000, 7, allocator);
	std::deque<int, Allocator> deque(1000, 8, allocator);
	need(list.back() == 7 && deque.back() == 8, name);
	std::printf("%s: containers\n", name);
}

template <typename Call> static const char *thrown(Call call)
{
	try {
		call();
	} catch (const std::bad_alloc &) {
		return "bad_alloc";
	} catch (const std::invalid_argument &) {
		return "invalid_argument";
	} catch (const std::runtime_error &) {
		return "runtime_error";
	}
	return "nothing";
}

int main()
{
	using Pmem = libmemkind::pmem::allocator<int>;
	using Fixed = libmemkind::fixed::allocator<int>;
	using Static = libmemkind::static_kind::allocator<int>;
	void *memory = mmap(nullptr, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	{
		Pmem pmem("/dev/shm", 64 << 20);
		containers("pmem", pmem);
		containers("pmem, conservative",
			Pmem(std::string("/dev/shm"), 64 << 20, libmemkind::allocation_policy::CONSERVATIVE));
		Fixed fixed(memory, 64 << 20);
		containers("fixed", fixed);
		containers("default", Static(libmemkind::kinds::DEFAULT));
		containers("regular", Static(libmemkind::kinds::REGULAR));

		Pmem same = pmem, other("/dev/shm", 16 << 20);
		libmemkind::pmem::allocator<double> rebound(pmem);
		std::printf("a copy: %s\n", same == pmem && rebound == pmem ? "equal" : "different");
		std::printf("another kind: %s\n", other != pmem ? "different" : "equal");
		other = pmem;
		std::printf("assigned: %s\n", other == pmem ? "equal" : "different");
		std::printf("no objects: %s\n", thrown([&] { pmem.allocate(0); }));
		std::printf("too many: %s\n", thrown([&] { pmem.allocate(1u << 30); }));
		std::printf("the memory of a live kind: %s\n", thrown([&] { Fixed again(memory, 64 << 20); }));

		std::vector<std::thread> threads;
		for (int i = 0; i < 8; i++)
			threads.emplace_back([pmem] {
				for (int round = 0; round < 20000; round++) {
					Pmem copy(pmem), second(copy);
					copy.deallocate(second.allocate(10), 10);
				}
			});
		for (std::thread &thread : threads)
			thread.join();
		std::printf("copied by threads: survived\n");
	}
	{
		Fixed again(memory, 64 << 20);
		std::printf("after the last copy: the memory is free\n");
	}
	std::printf("no directory: %s\n", thrown([] { Pmem absent("/nonexistent", 16 << 20); }));
	std::printf("too small: %s\n", thrown([] { Pmem small("/dev/shm", 100); }));
	return 0;
}
