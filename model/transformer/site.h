// Places in a forward pass where what flows can be seen and changed.
#ifndef HEED_MODEL_TRANSFORMER_SITE_H_
#define HEED_MODEL_TRANSFORMER_SITE_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// Each is a matrix with a row for each position. In a layer l that norms before each half,
//
//   mid(l) = residual(l) + attention_out(l),  residual(l + 1) = mid(l) + mlp_out(l);
//
// a post-norm layer norms either sum. In a parallel layer mid is that sum too, but nothing reads
// it. A mixing model (rungs 0 to 4 of the ladder) has no stream to add to: residual(0) is the
// words' vectors, and residual(1), what the unembedding reads, is the attention half's result,
// which is the blended values themselves.
enum class Site {
  kResidual,      // the stream that enters layer l; l = n_layers: what the final norm reads
  kResidualMid,   // the stream that enters the feed-forward half
  kAttentionOut,  // what the half adds to the stream, after its inner norm where it has one
  kMlpOut,
  kQuery,  // [n_heads * head_dim], after the norms of queries and keys and the rotation
  kKey,    // [n_kv_heads * head_dim], likewise
  kValue,  // [n_kv_heads * head_dim]
  kMixed,  // [n_heads * head_dim]: the values each head has blended, before the output projection
};
inline constexpr int kSiteCount = 8;
inline constexpr Site kAllSites[kSiteCount] = {
    Site::kResidual, Site::kResidualMid, Site::kAttentionOut, Site::kMlpOut,
    Site::kQuery,    Site::kKey,         Site::kValue,        Site::kMixed};

// As the enum says it: "residual", "attention_out".
inline absl::string_view SiteName(Site site) {
  constexpr absl::string_view kNames[kSiteCount] = {
      "residual", "residual_mid", "attention_out", "mlp_out", "query", "key", "value", "mixed"};
  return kNames[static_cast<int>(site)];
}

// False where a model has no feed-forward halves.
inline bool HasSite(const ModelConfig& config, Site site) {
  return config.ffn_width > 0 || (site != Site::kResidualMid && site != Site::kMlpOut);
}

// Layers at which the site is: [0, this).
inline int SiteLayers(const ModelConfig& config, Site site) {
  return config.n_layers + (site == Site::kResidual ? 1 : 0);
}

// Heads that the site's vectors are cut into, each head_dim wide; 0 for the stream's.
inline int SiteHeads(const ModelConfig& config, Site site) {
  switch (site) {
    case Site::kQuery:
    case Site::kMixed:
      return config.n_heads;
    case Site::kKey:
    case Site::kValue:
      return config.n_kv_heads;
    default:
      return 0;
  }
}

// Elements of a row.
inline int64_t SiteWidth(const ModelConfig& config, Site site) {
  switch (site) {
    case Site::kQuery:
    case Site::kMixed:
      return config.query_width();
    case Site::kKey:
    case Site::kValue:
      return config.kv_width();
    default:
      return config.width;
  }
}

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_SITE_H_
