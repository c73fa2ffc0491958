/*
 * What the C++ allocators share: a kind that lives as long as the last copy of its allocator.
 *
 * Copies are counted in several places, so that threads that copy allocators do not wait for each other's
 * cache lines: a copy counts where its thread does, and the places that are not empty count once
 * in a common one.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef MEMKIND_HANDLE_H
#define MEMKIND_HANDLE_H 1

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "memkind.h"

namespace libmemkind
{
namespace internal
{

/* Throws what a code means. */
inline void check(int code, const char *what)
{
	if (code == MEMKIND_ERROR_INVALID)
		throw std::invalid_argument(std::string("An invalid argument was passed to create ") +
			what + " kind; error code: " + std::to_string(code));
	if (code)
		throw std::runtime_error(std::string("An error occurred while creating ") + what +
			" kind; error code: " + std::to_string(code));
}

/* A kind and how many allocators have it. */
class shared_kind
{
public:
	static constexpr unsigned places = 16;

	explicit shared_kind(memkind_t made) : kind(made), filled(0), apart()
	{
		for (place &each : counts)
			each.count.store(0, std::memory_order_relaxed);
	}

	shared_kind(const shared_kind &) = delete;
	shared_kind &operator=(const shared_kind &) = delete;

	memkind_t get() const noexcept
	{
		return kind;
	}

	/* Counts one more at the calling thread's place. */
	unsigned add() noexcept
	{
		unsigned at = here();
		/* The one that is copied stays until this is done, and with it the kind. */
		if (counts[at].count.fetch_add(1, std::memory_order_relaxed) == 0)
			filled.fetch_add(1, std::memory_order_relaxed);
		return at;
	}

	/* One less at that place. The last one takes the kind with it. */
	void remove(unsigned at) noexcept
	{
		if (counts[at].count.fetch_sub(1, std::memory_order_acq_rel) == 1 &&
		    filled.fetch_sub(1, std::memory_order_acq_rel) == 1) {
			memkind_destroy_kind(kind);
			delete this;
		}
	}

private:
	struct place {
		std::atomic<std::size_t> count;
		char apart[64 - sizeof(std::atomic<std::size_t>)];
	};

	static unsigned here() noexcept
	{
		static thread_local char mark;
		std::uintptr_t address = reinterpret_cast<std::uintptr_t>(&mark);
		return static_cast<unsigned>((address >> 12) * 0x9e3779b1u >> 7) % places;
	}

	memkind_t kind;
	std::atomic<unsigned> filled;
	char apart[64];
	place counts[places];
};

/* One of those that have a kind. */
class kind_handle
{
public:
	/* Takes a new kind. */
	explicit kind_handle(memkind_t made) : shared(allocate(made)), at(shared->add())
	{
	}

	kind_handle(const kind_handle &other) noexcept : shared(other.shared), at(shared->add())
	{
	}

	kind_handle &operator=(const kind_handle &other) noexcept
	{
		if (shared != other.shared) {
			kind_handle copy(other);
			std::swap(shared, copy.shared);
			std::swap(at, copy.at);
		}
		return *this;
	}

	~kind_handle()
	{
		shared->remove(at);
	}

	memkind_t get() const noexcept
	{
		return shared->get();
	}

private:
	static shared_kind *allocate(memkind_t made)
	{
		try {
			return new shared_kind(made);
		} catch (...) {
			memkind_destroy_kind(made);
			throw;
		}
	}

	shared_kind *shared;
	unsigned at;
};

/* What makes an allocator of a kind. */
template <typename T, typename Handle> class kind_allocator
{
public:
	using value_type = T;
	using pointer = value_type *;
	using const_pointer = const value_type *;
	using reference = value_type &;
	using const_reference = const value_type &;
	using size_type = std::size_t;
	using difference_type = std::ptrdiff_t;

	explicit kind_allocator(const Handle &taken) noexcept : handle(taken)
	{
	}

	/* Throws std::bad_alloc, also for n = 0 and where n objects are too many for any block. */
	pointer allocate(size_type n) const
	{
		if (n > std::numeric_limits<size_type>::max() / sizeof(T))
			throw std::bad_alloc();
		void *block = nullptr;
		if (alignof(T) <= alignof(std::max_align_t))
			block = memkind_malloc(handle.get(), n * sizeof(T));
		else if (memkind_posix_memalign(handle.get(), &block, alignof(T), n * sizeof(T)))
			block = nullptr;
		if (!block)
			throw std::bad_alloc();
		return static_cast<pointer>(block);
	}

	void deallocate(pointer p, size_type) const
	{
		memkind_free(handle.get(), static_cast<void *>(p));
	}

	template <class U, class... Args> void construct(U *p, Args &&...args) const
	{
		::new (static_cast<void *>(p)) U(std::forward<Args>(args)...);
	}

	void destroy(pointer p) const
	{
		p->~value_type();
	}

	const Handle &get_handle() const noexcept
	{
		return handle;
	}

private:
	Handle handle;
};

} // namespace internal
} // namespace libmemkind

#endif
