// What is wrong with a server's reply. Internal to the client.
#ifndef HEED_CLIENT_REPLY_FINDINGS_H_
#define HEED_CLIENT_REPLY_FINDINGS_H_

#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "heed/v1/types.pb.h"

namespace heed {
inline namespace client {

// Finds what does not hold together; the first finding counts. Fields are called by their paths in
// the reply ("cells[3].position").
class ReplyFindings {
 public:
  bool empty() const { return first_.empty(); }
  // OK without findings, else INTERNAL: "the server's answer is broken: weights has shape [3, 5];
  // expected [2, 5]".
  absl::Status ToStatus() const;

  template <typename... Parts>
  void Add(const Parts&... parts) {
    if (first_.empty()) first_ = absl::StrCat(parts...);
  }

  // That every double and float of a message and of those in it is a number, infinities included,
  // and that every tensor holds as many as its shape says.
  void CheckNumbers(const google::protobuf::Message& message);
  void CheckFinite(absl::string_view field, const v1::Tensor& tensor);
  // That a tensor is F32 of this shape.
  void CheckShape(absl::string_view field, const v1::Tensor& tensor,
                  std::initializer_list<int64_t> shape);

  void CheckCount(absl::string_view field, int64_t count, int64_t expected) {
    if (count != expected) Add(field, " holds ", count, "; expected ", expected);
  }
  // That a value is in [0, end).
  void CheckIndex(absl::string_view field, int64_t value, int64_t end) {
    if (value < 0 || value >= end) Add(field, " is ", value, "; expected 0 to ", end - 1);
  }
  void CheckPosition(absl::string_view field, int64_t position, int64_t n_tokens) {
    if (position >= 0 && position < n_tokens) return;
    Add(field, " is ", position, ", and the prompt has ", n_tokens, " tokens");
  }
  // The same of a list, which is ascending.
  template <typename List>
  void CheckPositions(absl::string_view field, const List& positions, int64_t n_tokens) {
    CheckAscending(field, positions);
    if (positions.empty()) return;
    CheckPosition(absl::StrCat(field, "[0]"), positions[0], n_tokens);
    const int last = positions.size() - 1;
    CheckPosition(absl::StrCat(field, "[", last, "]"), positions[last], n_tokens);
  }
  template <typename List>
  void CheckAscending(absl::string_view field, const List& values) {
    for (int i = 1; i < values.size(); ++i) {
      if (values[i] > values[i - 1]) continue;
      return Add(field, "[", i, "] is ", values[i], " behind ", values[i - 1],
                 "; expected to ascend");
    }
  }
  // Layers or heads: ascending, from 0 on.
  template <typename List>
  void CheckIndices(absl::string_view field, const List& values) {
    CheckAscending(field, values);
    if (!values.empty() && values[0] < 0) Add(field, "[0] is ", values[0]);
  }

 private:
  void CheckNumbers(const std::string& path, const google::protobuf::Message& message);
  void CheckTensor(absl::string_view field, const v1::Tensor& tensor);

  std::string first_;
};

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_REPLY_FINDINGS_H_
