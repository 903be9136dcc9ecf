// Whether a server's replies are what was asked for and hold together: positions within the prompt,
// lists as long as what they belong to, tensors of the shapes that heed/v1 names, numbers that are
// numbers. What is made of a reply that passes reads nothing that is not there, whatever the
// server. INTERNAL, naming what is wrong, for one that does not. Internal to the client.
#ifndef HEED_CLIENT_REPLY_CHECK_H_
#define HEED_CLIENT_REPLY_CHECK_H_

#include <cstdint>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "client/reply_findings.h"
#include "heed/v1/embedding.pb.h"
#include "heed/v1/experiment.pb.h"
#include "heed/v1/inspection.pb.h"
#include "heed/v1/prediction.pb.h"

namespace heed {
inline namespace client {

absl::Status CheckReply(const v1::PredictRequest& request, const v1::PredictResponse& reply);
absl::Status CheckReply(const v1::EmbedRequest& request, const v1::EmbedResponse& reply);
absl::Status CheckReply(const v1::ExplainRowRequest& request, const v1::ExplainRowResponse& reply);
absl::Status CheckReply(const v1::GetHeadStatsRequest& request,
                        const v1::GetHeadStatsResponse& reply);
absl::Status CheckReply(const v1::DetectHeadsRequest& request,
                        const v1::DetectHeadsResponse& reply);
absl::Status CheckReply(const v1::LogitLensRequest& request, const v1::LogitLensResponse& reply);
absl::Status CheckReply(const v1::AttributeLogitsRequest& request,
                        const v1::AttributeLogitsResponse& reply);
absl::Status CheckReply(const v1::RolloutRequest& request, const v1::RolloutResponse& reply);
absl::Status CheckReply(const v1::DecomposeAttentionRequest& request,
                        const v1::DecomposeAttentionResponse& reply);
absl::Status CheckReply(const v1::InterveneRequest& request, const v1::InterveneResponse& reply);
absl::Status CheckReply(const v1::CompareRequest& request, const v1::CompareResponse& reply);

// Of replies that hold no lists which belong together.
template <typename Request, typename Reply>
absl::Status CheckReply(const Request&, const Reply& reply) {
  ReplyFindings findings;
  findings.CheckNumbers(reply);
  return findings.ToStatus();
}

// The same of streamed replies: Add each message, then Finish.
class AttentionReplyCheck {
 public:
  // `request` must outlive this.
  explicit AttentionReplyCheck(const v1::GetAttentionRequest& request)
      : selection_(request.selection()) {}
  absl::Status Add(const v1::GetAttentionResponse& message);
  absl::Status Finish() const;

 private:
  // What has come of one head, or of a layer's heads as one.
  struct Map {
    int64_t rows = 0;
    int64_t last_query = -1;
  };

  void CheckHeader(const v1::AttentionHeader& header, ReplyFindings* findings);
  void CheckTile(const v1::AttentionTile& tile, ReplyFindings* findings);
  void CheckQueries(const v1::AttentionTile& tile, Map* map, ReplyFindings* findings) const;
  void CheckPacked(const v1::AttentionTile& tile, ReplyFindings* findings) const;
  void CheckGrid(const v1::AttentionTile& tile, ReplyFindings* findings);
  void CheckEnd(const v1::AttentionEnd& end, ReplyFindings* findings) const;

  const v1::AttentionSelection& selection_;
  bool has_header_ = false;
  bool has_end_ = false;
  v1::AttentionHeader header_;
  int64_t tile_count_ = 0;
  int64_t columns_ = 0;                      // of a grid
  std::map<std::pair<int, int>, Map> maps_;  // by layer and head
};

class ActivationsReplyCheck {
 public:
  explicit ActivationsReplyCheck(const v1::GetActivationsRequest& request) : request_(request) {}
  absl::Status Add(const v1::GetActivationsResponse& message);
  absl::Status Finish() const;

 private:
  void CheckHeader(const v1::ActivationsHeader& header, ReplyFindings* findings);
  void CheckBlock(const v1::ActivationBlock& block, ReplyFindings* findings);

  const v1::GetActivationsRequest& request_;
  bool has_header_ = false;
  bool has_end_ = false;
  v1::ActivationsHeader header_;
  int64_t block_count_ = 0;
  int64_t width_ = 0;              // of all rows
  std::map<int, int> row_counts_;  // that have come, by layer
};

class SweepReplyCheck {
 public:
  explicit SweepReplyCheck(const v1::SweepRequest&) {}
  absl::Status Add(const v1::SweepResponse& message);
  absl::Status Finish() const;

 private:
  void CheckHeader(const v1::SweepHeader& header, ReplyFindings* findings);

  bool has_header_ = false;
  bool has_end_ = false;
  int rows_ = 0;
  int columns_ = 0;
  int64_t cells_ = 0;  // that have come
};

class GenerateReplyCheck {
 public:
  explicit GenerateReplyCheck(const v1::GenerateRequest&) {}
  absl::Status Add(const v1::GenerateResponse& message);
  absl::Status Finish() const;

 private:
  bool has_end_ = false;
};

// A session's responses, one at a time.
class ExploreReplyCheck {
 public:
  absl::Status Add(const v1::ExploreResponse& response);

 private:
  void CheckRow(const std::string& field, const v1::ExplainRowResponse& row,
                ReplyFindings* findings) const;

  bool is_open_ = false;
  int64_t sequence_ = 1;  // of the response before
  int layers_ = 0;
  int heads_ = 0;
  int64_t n_tokens_ = 0;
};

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_REPLY_CHECK_H_
