#include "model/checkpoint/gguf_rows.h"

#include <cstring>
#include <string>

namespace heed {

void RestoreRowOrder(const GgufRowOrder& order, absl::Span<char> rows) {
  if (!order.moves_rows()) return;
  const auto outer = static_cast<size_t>(order.outer), inner = static_cast<size_t>(order.inner);
  const size_t group_bytes = rows.size() / static_cast<size_t>(order.groups);
  const size_t run_bytes = group_bytes / outer / inner;
  std::string group(group_bytes, '\0');
  for (size_t begin = 0; begin < rows.size(); begin += group_bytes) {
    std::memcpy(group.data(), rows.data() + begin, group_bytes);
    char* to = rows.data() + begin;
    for (size_t i = 0; i < inner; ++i) {
      for (size_t o = 0; o < outer; ++o, to += run_bytes) {
        std::memcpy(to, group.data() + (o * inner + i) * run_bytes, run_bytes);
      }
    }
  }
}

}  // namespace heed
