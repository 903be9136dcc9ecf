// Memory that all calls together may hold for one purpose.
#ifndef HEED_SERVER_ENGINE_BYTE_BUDGET_H_
#define HEED_SERVER_ENGINE_BYTE_BUDGET_H_

#include <atomic>
#include <cstdint>
#include <utility>

namespace heed {

// Thread-safe. Must outlive its holds.
class ByteBudget {
 public:
  explicit ByteBudget(int64_t limit) : limit_(limit) {}

  // A part of the budget, given back on destruction. Empty when the budget did not have it.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Hold() {
      if (budget_ != nullptr) budget_->used_.fetch_sub(bytes_);
    }
    explicit operator bool() const { return budget_ != nullptr; }

   private:
    friend class ByteBudget;
    Hold(ByteBudget* budget, int64_t bytes) : budget_(budget), bytes_(bytes) {}
    ByteBudget* budget_ = nullptr;
    int64_t bytes_ = 0;
  };

  Hold Take(int64_t bytes) {
    int64_t used = used_.load();
    do {
      if (bytes > limit_ - used) return Hold();
    } while (!used_.compare_exchange_weak(used, used + bytes));
    return Hold(this, bytes);
  }

  int64_t limit() const { return limit_; }
  int64_t used() const { return used_.load(); }

 private:
  const int64_t limit_;
  std::atomic<int64_t> used_{0};
};

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_BYTE_BUDGET_H_
