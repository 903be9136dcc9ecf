// Attention over one sequence of random queries, keys and values, for the kernel tests.
#ifndef HEED_TESTS_KERNELS_ATTENTION_TESTING_H_
#define HEED_TESTS_KERNELS_ATTENTION_TESTING_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "model/kernels/backend.h"
#include "model/kernels/top_k.h"
#include "tests/kernels/kernel_testing.h"

namespace heed {

inline constexpr KvType kKvTypes[] = {KvType::kF32, KvType::kF16, KvType::kInt8};

// Keeps every row it is given.
class RecordingSink : public AttentionRowSink {
 public:
  void OnRows(absl::Span<const WatchedRow> some) override {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const WatchedRow& row : some) {
      std::vector<float> weights(row.weights.begin(), row.weights.end());
      if (row.factors.stride != 0) {
        ++rows_with_factors;
        for (size_t key = 0; key < weights.size(); ++key) {
          weights[key] *= FactorAt(row.factors, key);
        }
      }
      EXPECT_TRUE(rows.emplace(std::pair{row.head, row.query}, std::move(weights)).second)
          << "head " << row.head << ", query " << row.query << " came twice";
    }
  }

  std::map<std::pair<int, int64_t>, std::vector<float>> rows;
  int64_t rows_with_factors = 0;

 private:
  std::mutex mutex_;
};

// One sequence's keys and values in pages of its own, full of a sentinel where nothing was stored.
class Sequence {
 public:
  Sequence(const AttentionShape& shape, int64_t length, uint32_t seed, KvType type = KvType::kF32)
      : shape_(shape),
        type_(type),
        query(RandomMatrix(length, shape.n_heads * shape.head_dim, seed)),
        key(RandomMatrix(length, shape.n_kv_heads * shape.head_dim, seed + 1)),
        value(RandomMatrix(length, shape.n_kv_heads * shape.head_dim, seed + 2)),
        output(length, shape.n_heads * shape.head_dim) {
    const int64_t floats = KvPartBytes(type, shape.n_kv_heads, shape.head_dim) / 4;
    memory.assign((length + kPageTokens - 1) / kPageTokens * floats, 12345.0f);
    for (size_t i = 0; i < memory.size(); i += floats) {
      pages_.push_back(reinterpret_cast<char*>(memory.data() + i));
    }
  }

  // Stores the keys of rows [begin, end), then attends with their queries.
  AttentionSlice Slice(const Backend* backend, int64_t begin, int64_t end) {
    backend->StoreKeysValues(std::as_const(key).ref().Rows(begin, end - begin),
                             std::as_const(value).ref().Rows(begin, end - begin), shape_.head_dim,
                             begin, pages());
    return {std::as_const(query).ref().Rows(begin, end - begin),
            output.ref().Rows(begin, end - begin),
            pages(),
            begin,
            {},
            nullptr};
  }

  void Run(const Backend* backend, int64_t begin, int64_t end, AttentionRows watched = {},
           AttentionRowSink* sink = nullptr) {
    RunEdited(backend, begin, end, {}, nullptr, watched, sink);
  }

  void RunEdited(const Backend* backend, int64_t begin, int64_t end, AttentionRows edited,
                 const AttentionRowEditor* editor, AttentionRows watched = {},
                 AttentionRowSink* sink = nullptr) {
    AttentionSlice slice = Slice(backend, begin, end);
    slice.watched = watched;
    slice.sink = sink;
    slice.edited = edited;
    slice.editor = editor;
    backend->Attend(shape_, {slice});
  }

 private:
  KvPages pages() const { return {type_, pages_}; }

  const AttentionShape shape_;
  const KvType type_;
  std::vector<char*> pages_;

 public:
  std::vector<float> memory;
  Matrix query, key, value, output;
};

inline std::vector<int> AllHeads(int n) {
  std::vector<int> heads(n);
  for (int i = 0; i < n; ++i) heads[i] = i;
  return heads;
}

inline std::vector<int64_t> AllQueries(int64_t n) {
  std::vector<int64_t> queries(n);
  for (int64_t i = 0; i < n; ++i) queries[i] = i;
  return queries;
}

}  // namespace heed

#endif  // HEED_TESTS_KERNELS_ATTENTION_TESTING_H_
