// The C++ library's containers, strings, streams and exceptions on several threads.
#include <algorithm>
#include <deque>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

struct alignas(256) Wide {
    char bytes[256];
};

static unsigned long work(unsigned seed) {
    unsigned state = seed;
    auto next = [&state] { return state = state * 1103515245u + 12345u, state >> 8; };
    std::map<std::string, std::vector<int>> tree;
    std::unordered_map<int, std::shared_ptr<std::string>> table;
    std::list<std::deque<long>> lists;
    unsigned long sum = 0;
    for (int i = 0; i < 20000; i++) {
        tree["a key longer than the small string " + std::to_string(next() % 500)].push_back(i);
        table[next() % 700] = std::make_shared<std::string>(next() % 300, 'x');
        if (i % 50 == 0)
            lists.emplace_back(next() % 1000, i);
        if (lists.size() > 20)
            lists.pop_front();
        try {
            if (next() % 40 == 0)
                throw std::runtime_error("an exception with a text that is allocated " + std::to_string(i));
        } catch (const std::exception &e) {
            sum += std::string(e.what()).size();
        }
        auto wide = std::make_unique<Wide>();
        sum += reinterpret_cast<std::uintptr_t>(wide.get()) % alignof(Wide); // adds nothing
    }
    for (auto &entry : tree)
        sum += entry.second.size() * entry.first.size();
    for (auto &entry : table)
        sum += entry.second->size();
    for (auto &list : lists)
        sum += list.size();
    return sum;
}

int main() {
    std::vector<unsigned long> results(8);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 8; t++)
        threads.emplace_back([t, &results] { results[t] = work(t + 1); });
    for (auto &thread : threads)
        thread.join();
    std::ostringstream text;
    for (auto result : results)
        text << result << '\n';
    std::cout << text.str();
    volatile std::size_t too_much = static_cast<std::size_t>(-1) / 4;
    try {
        delete[] new char[too_much];
        std::cout << "no bad_alloc\n";
    } catch (const std::bad_alloc &) {
        std::cout << "bad_alloc\n";
    }
    std::cout << (new (std::nothrow) char[too_much] == nullptr ? "nullptr\n" : "not nullptr\n");
}
