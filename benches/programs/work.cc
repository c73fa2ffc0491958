// What a compiler of C++ meets every day: large headers and templates over them.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

template <int N> struct Layer {
    std::map<std::string, std::vector<int>> table;
    std::variant<int, std::string, Layer<N - 1> *> next;
    int count(const std::string &key) {
        auto found = table.find(key);
        int here = found == table.end() ? 0 : static_cast<int>(found->second.size());
        return here + (next.index() == 2 ? std::get<2>(next)->count(key) : N);
    }
};
template <> struct Layer<0> {
    int count(const std::string &key) { return static_cast<int>(key.size()); }
};

int sum(const std::unordered_map<std::string, std::function<int(int)>> &functions, int start) {
    std::vector<std::pair<std::string, int>> results;
    for (const auto &[name, function] : functions)
        results.emplace_back(name, function(start));
    std::sort(results.begin(), results.end(), [](const auto &a, const auto &b) { return a.second < b.second; });
    auto layer = std::make_unique<Layer<12>>();
    return layer->count(results.empty() ? "" : results.front().first);
}
